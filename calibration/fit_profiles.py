"""Make the profiles that ship: `python calibration/fit_profiles.py --measured FOLDER [GPU ...]`.

A GPU's rates are fitted to its kernels, steps or points, and at most two overheads to whole runs,
as `recipes.RECIPES` says. Prior values are those of the datasheet and the architecture (the profile
``datasheet``), so that a run of this script depends on no earlier one. GPUs of which nothing was
measured take the factors of another one, with wider errors. Written are
``sim/agentsim/machine/profiles/NAME.toml``; without GPUs, all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from recipes import ESTIMATED, RECIPES, Recipe

from agentsim.calibration.between import between_sets
from agentsim.calibration.files import read_observations
from agentsim.calibration.fit import Fit, fit_identified
from agentsim.calibration.observations import Observations
from agentsim.calibration.parameters import prior_values
from agentsim.calibration.profile import profile_of, profile_toml, remarks_of, write_profile
from agentsim.calibration.residuals import residuals_of
from agentsim.calibration.runs import observe_runs
from agentsim.calibration.weighting import run_spread_of
from agentsim.domain.config import Config
from agentsim.domain.specs import Profile
from agentsim.errors import UserError
from agentsim.machine.profiles import DATASHEET
from agentsim.machine.system import read_config
from agentsim.validation import Case, read_cases

PROFILES = Path(__file__).parents[1] / "sim/agentsim/machine/profiles"
#: Added to the errors of factors that are taken from another GPU.
ELSEWHERE = 0.08
#: Of what whole runs are off by, half of the square is taken to be the factors', whose own errors
#: are drawn too.
LEFT_OVER = 0.5**0.5
#: Kernels below these are mostly launch, and sizes that leave multiprocessors without work.
LEAST_PRODUCT_S, LEAST_ATTENTION_S = 50e-6, 200e-6
#: Points of a grid below this are mostly network and HTTP.
LEAST_S = 0.5


def base(recipe: Recipe) -> tuple[str, ...]:
    """Settings for all: nothing is known of the GPU but its datasheet and what is given."""
    given = (f"cost.{name}={row.value}" for name, row in recipe.given)
    return (f"profile={DATASHEET}", *given)


def config_of(gpu: str) -> Config:
    """What was measured, with nothing fitted."""
    recipe = RECIPES[gpu]
    sets = (*base(recipe), *recipe.data.settings)
    config, _ = read_config(gpu=gpu, model=recipe.data.model, sets=sets)
    return config


def observe(gpu: str, folder: Path) -> list[Observations]:
    """Kernels, steps and points."""
    data = RECIPES[gpu].data
    paths = [path for pattern in data.files for path in sorted(folder.glob(pattern))]
    if not paths:
        raise UserError(f"{folder}: no file {data.files[0]}")
    sets = base(RECIPES[gpu])
    found: list[Observations] = []
    for path in paths:
        if "grids" in path.parts:
            cases = [case for case in read_cases(path.parent) if path.name[:9] in case.run_id]
            chosen = [case for case in cases if isinstance(case, Case) and is_alone(case)]
            found.append(observe_runs(path.name, chosen, gpu, sets))
        else:
            found += read_observations([path], config_of(gpu), sets=sets)
    return [large_only(item) for item in found]


def large_only(item: Observations) -> Observations:
    """A table of kernels without the small ones; steps and runs as they are."""
    is_attention = np.char.find(item.regimes, "attention") >= 0
    is_kernel = is_attention | (np.char.find(item.regimes, "rows: ") >= 0)
    least = np.where(is_attention, LEAST_ATTENTION_S, LEAST_PRODUCT_S)
    mine = ~is_kernel | (item.seconds >= least)
    return replace(
        item,
        regimes=item.regimes[mine],
        seconds=item.seconds[mine],
        predict=lambda values: item.predict(values)[mine],
    )


def is_alone(case: Case) -> bool:
    """Whether a point of a grid is one long prompt by itself."""
    sessions = case.trace(0).sessions
    mine = [session for session in sessions if session.id.startswith(f"{case.part}/")]
    return len(mine) == 1 and case.measured["e2e", "mean"] >= LEAST_S


def observe_by_model(
    gpu: str, sources: Sequence[str], folder: Path, held: dict[str, float]
) -> list[Observations]:
    """Whole runs, a set for each model, with the factors `held` in place."""
    sets = (f"profile={DATASHEET}", *(f"cost.{name}={value}" for name, value in held.items()))
    found: list[Observations] = []
    for source in sources:
        path = folder / source
        cases = [case for case in read_all(path) if isinstance(case, Case)]
        for model in dict.fromkeys(case.model for case in cases):
            mine = [case for case in cases if case.model == model]
            try:
                found.append(
                    observe_runs(f"{source} of {model.rpartition('/')[2]}", mine, gpu, sets)
                )
            except UserError:
                continue  # on another GPU
    if not found:
        raise UserError(f"{folder}: no run of {gpu} in {', '.join(sources)}")
    return found


def read_all(path: Path) -> list[Case]:
    """The runs of a folder, or of one file of it."""
    folder = path if path.is_dir() else path.parent
    cases = [case for case in read_cases(folder) if isinstance(case, Case)]
    if path.is_dir():
        return cases
    return [case for case in cases if f"/{path.stem}/" in case.run_id or path.stem == "stages"]


def with_differences(found: Fit, sets: Sequence[Sequence[Observations]]) -> Fit:
    """The fit with what its factors differ by between data sets in its errors."""
    differences = between_sets(sets, found)
    covariance = found.covariance + np.diag(differences**2)
    factors = tuple(
        replace(factor, error=float(np.sqrt(covariance[i, i])))
        for i, factor in enumerate(found.factors)
    )
    return replace(found, factors=factors, covariance=covariance)


def fit_rates(gpu: str, folder: Path) -> Fit:
    """The first part of a recipe: kernels, steps or points."""
    recipe = RECIPES[gpu]
    observed = observe(gpu, folder)
    priors = prior_values(config_of(gpu), observed)
    found, _ = fit_identified(observed, recipe.factors, priors)
    return with_differences(found, [observed])  # tables of one kind each, not repeats


def make(gpu: str, folder: Path) -> tuple[Profile, list[str]]:
    """The profile of a GPU that was measured, and remarks."""
    recipe = RECIPES[gpu]
    rates = fit_rates(gpu, folder)
    sources = [*recipe.data.files, *(f"overheads to {name}" for name in recipe.runs)]
    profile = profile_of(rates, gpu, "")
    rows = {**profile.factors, **dict(recipe.given)}
    remarks, spread = remarks_of(rates), profile.spread
    held = {name: row.value for name, row in rows.items()}
    overheads = [name for name in recipe.overheads if name not in held]
    if overheads:
        observed = observe_by_model(gpu, recipe.runs, folder, held)
        config = config_of(gpu)
        cost = msgspec.structs.replace(config.cost, **held)
        priors = prior_values(msgspec.structs.replace(config, cost=cost), observed)
        whole = with_differences(
            fit_identified(observed, overheads, priors)[0], [[item] for item in observed]
        )
        later = profile_of(whole, gpu, "")
        rows |= later.factors
        held |= {name: row.value for name, row in later.factors.items()}
        remarks += remarks_of(whole)
        spread = later.spread
    if recipe.judged:
        judged = observe_by_model(gpu, recipe.judged, folder, held)
        remarks += [f"judged, not fitted: {line}" for line in judged_lines(judged)]
        spread = max(spread, spread_of(judged))
    made = msgspec.structs.replace(
        profile, factors=rows, spread=float(f"{LEFT_OVER * spread:.3g}"),
        source="calibration/fit_profiles.py: " + ", ".join(sources),
    )  # fmt: skip
    return made, remarks


def judged_lines(observed: Sequence[Observations]) -> list[str]:
    """One line for each set and regime of runs that are not fitted."""
    return [
        f"{row.source}, {row.regime}: {row.num_observations} figures, mean error {row.mape:.1%}, "
        f"bias {row.bias:+.1%}"
        for row in residuals_of(observed, {})
    ]


def spread_of(observed: Sequence[Observations]) -> float:
    """What whole runs are off by that are not fitted."""
    gaps = [np.log(item.predict({}) / item.seconds) for item in observed]
    return run_spread_of(observed, gaps)


def estimate(gpu: str, like: Profile) -> tuple[Profile, list[str]]:
    """The profile of a GPU that was not measured: shares of its datasheet as of another one."""
    rows = {
        name: msgspec.structs.replace(
            row, error=float(f"{np.hypot(row.error or 0.0, ELSEWHERE):.3g}"), kind="assumed",
            source=f"as on {like.gpu}",
        )
        for name, row in like.factors.items()
    }  # fmt: skip
    source = f"factors of {like.gpu} on the datasheet of {gpu}; nothing was fitted on it"
    made = msgspec.structs.replace(
        like, gpu=gpu, standing="estimated", source=source, factors=rows,
        spread=float(f"{np.hypot(like.spread, ELSEWHERE):.3g}"),
    )  # fmt: skip
    return made, []


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("gpus", nargs="*", metavar="GPU", help="default: all")
    parser.add_argument("--measured", type=Path, required=True, help="folder of measurements")
    parser.add_argument("--out", type=Path, default=PROFILES, help="folder of the profiles")
    given = parser.parse_args(arguments)
    names = given.gpus or [*RECIPES, *ESTIMATED]
    made: dict[str, Profile] = {}
    try:
        for gpu in names:
            like = ESTIMATED.get(gpu, gpu)
            if like not in RECIPES:
                raise UserError(
                    f"no recipe for {gpu!r}: known: {', '.join([*RECIPES, *ESTIMATED])}"
                )
            if gpu in ESTIMATED and like not in made:
                made[like], _ = make(like, given.measured)
            profile, remarks = (
                estimate(gpu, made[like]) if gpu in ESTIMATED else make(gpu, given.measured)
            )
            made[gpu] = profile
            write_profile(given.out / f"{gpu}.toml", profile_toml(profile, remarks))
            print(f"{gpu}: {len(profile.factors)} factors, {profile.standing}", file=sys.stderr)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
