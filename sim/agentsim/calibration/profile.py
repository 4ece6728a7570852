"""A fit as a profile, the file that ``--profile`` reads, and as text: what fixed what, how far off.

`profile_of` gives the rows of a fit, `profile_toml` their text, `write_profile` the file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from agentsim.calibration.fit import Fit, Fitted
from agentsim.calibration.residuals import Residuals
from agentsim.domain.specs import Correlation, FactorValue, Profile
from agentsim.errors import UserError
from agentsim.machine.catalog import factor_table

#: Correlations below this are not written.
_LEAST_CORRELATION = 0.05
#: Share of a correlation that is written.
_DAMPED = 0.99


def profile_of(
    fit: Fit, gpu: str, source: str, *, held: Profile | None = None, keep_loose: bool = False
) -> Profile:
    """The profile of a fit.

    Parameters
    ----------
    source : str
        One line: what it was fitted to.
    held : Profile or None
        The profile whose other factors were in place during the fit: they stay.
    keep_loose : bool
        Whether factors that nothing identifies are in it, with their priors and as assumed.
    """
    kept = [i for i, factor in enumerate(fit.factors) if factor.is_identified or keep_loose]
    held = held or Profile()
    factors = {
        name: msgspec.structs.replace(row, source=f"profile {held.name}: {row.source}")
        for name, row in held.factors.items()
    }
    factors |= {fit.factors[i].name: _row(fit.factors[i]) for i in kept}
    found = [i for i in kept if fit.factors[i].is_identified]
    names = tuple(fit.factors[i].name for i in found)
    errors = np.sqrt(np.diag(fit.covariance))
    rows = (fit.covariance / np.outer(errors, errors))[np.ix_(found, found)]
    is_plain = bool(np.all(np.abs(rows - np.eye(len(found))) < _LEAST_CORRELATION))
    correlation = Correlation() if is_plain else Correlation(names, as_rows(rows))
    return Profile(
        gpu=gpu, standing="fitted", source=source, spread=_short(fit.run_spread),
        factors=factors, correlation=correlation,
    )  # fmt: skip


def as_rows(matrix: np.typing.NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """A correlation matrix, rounded, a little less than it is: it keeps a Cholesky factor."""
    rounded = np.round(_DAMPED * (matrix + matrix.T) / 2, 3) + 0.0
    np.fill_diagonal(rounded, 1.0)
    return tuple(tuple(row) for row in rounded.tolist())


def _row(factor: Fitted) -> FactorValue:
    if not factor.is_identified:
        why = "fitted, but nothing that was measured identifies it: the prior"
        return FactorValue(_short(factor.prior), "assumed", why, _short(factor.prior_error))
    by = "; ".join(factor.fixed_by) or "all sources alike"
    return FactorValue(_short(factor.value), "fitted", by, _short(factor.error))


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def profile_toml(profile: Profile, remarks: Sequence[str] = ()) -> str:
    """The text of a profile's file.

    Parameters
    ----------
    remarks : sequence of str
        Lines of comment at its head.
    """
    units = {name: row["unit"] for name, row in factor_table()["general"].items()}
    lines = [
        *(f"# {remark}" for remark in remarks),
        "[profile]",
        f'gpu = "{profile.gpu}"',
        f'standing = "{profile.standing}"',
        f"source = {_text(profile.source)}",
        f"spread = {profile.spread:.4g}",
    ]
    for name, row in profile.factors.items():
        lines += ["", f"[factors.{name}]", f"# {units[name]}", f"value = {row.value:.4g}"]
        if row.error is not None:
            lines.append(f"error = {row.error:.4g}")
        lines += [f'kind = "{row.kind}"', f"source = {_text(row.source)}"]
    if profile.correlation.names:
        names = ", ".join(f'"{name}"' for name in profile.correlation.names)
        rows = (", ".join(f"{x:g}" for x in row) for row in profile.correlation.rows)
        lines += ["", "[correlation]", f"names = [{names}]", "rows = ["]
        lines += [*(f"    [{row}]," for row in rows), "]"]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A TOML string of one line."""
    plain = " ".join(value.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


def check_target(target: Path, *, force: bool) -> None:
    """Raise where `write_profile` would refuse, before any work is done.

    Raises
    ------
    UserError
        If it is there and `force` is not set, is a folder, or its folder cannot be written.
    """
    if target.is_dir():
        raise UserError(f"{target}: is a folder; give a file to --out")
    if target.exists() and not force:
        raise UserError(f"{target}: exists; use --force to replace it")
    home = target.absolute().parent
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise UserError(f"{target}: cannot be written: {str(home)!r} is not a writable folder")


def write_profile(target: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    UserError
        If the disk refuses.
    """
    half: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.absolute().parent, prefix=f".{target.name}.",
            delete=False,
        ) as file:  # fmt: skip
            half = Path(file.name)
            file.write(text)
        half.chmod(0o644)
        half.replace(target)
    except OSError as error:
        if half is not None:
            half.unlink(missing_ok=True)
        raise UserError(f"{target}: cannot be written: {error.strerror or error}") from error


def remarks_of(
    fit: Fit,
    loose: Sequence[str] = (),
    checked: Sequence[Residuals] = (),
    left_out: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """What a reader of the profile should know: residuals, what was judged, what is not known."""
    lines = [f"fitted: {line}" for line in residual_lines(fit.residuals)]
    lines += [f"judged, not fitted: {line}" for line in residual_lines(checked)]
    loose = [*loose, *(factor.name for factor in fit.factors if not factor.is_identified)]
    if loose:
        lines.append(f"not identified: {', '.join(loose)}")
    lines += left_out_lines(left_out or {})
    return lines


def left_out_lines(left_out: Mapping[str, Sequence[str]]) -> list[str]:
    """How many runs of each source are not used, with one of the reasons."""
    return [
        f"not used: {len(reasons)} of the runs of {source}; {reasons[0]}"
        for source, reasons in left_out.items()
        if reasons
    ]


def standing(factor: Fitted) -> str:
    """How well a factor is known, and from what."""
    if not factor.is_identified:
        return f"not identified, near its prior {factor.prior:.3g}"
    by = "; ".join(factor.fixed_by[:2]) or "all sources alike"
    return f"standard error {factor.error:.1%}; fixed by {by}"


def residual_lines(residuals: Sequence[Residuals]) -> list[str]:
    """One line for each source and regime."""
    return [
        f"{r.source}, {r.regime}: {r.num_observations:,} observations, mean error {r.mape:.1%}, "
        f"bias {r.bias:+.1%}, total {r.total:+.1%}"
        for r in residuals
    ]
