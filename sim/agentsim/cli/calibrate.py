"""`agentsim calibrate`: fit the factors of the step-time model to measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agentsim.calibration.fit import Fit
    from agentsim.calibration.residuals import Residuals


@click.command("calibrate", short_help="Fit the step-time model to measured steps or kernels.")
@click.argument("files", metavar="FILES...", nargs=-1, required=True)
@click.option("-o", "--out", metavar="PROFILE.toml", required=True, help="Where to write the fit.")
@click.option("--gpu", metavar="NAME", help="GPU that was measured.")
@click.option("--model", metavar="NAME", help="Model that was served.")
@click.option("--config", "config_file", metavar="FILE.toml", help="Settings from a file.")
@click.option("--set", "sets", metavar="KEY=VALUE", multiple=True, help="One setting; repeatable.")
@click.option("--vllm-args", metavar="ARGS", help="Arguments of the 'vllm serve' command.")
@click.option("--fit", "names", metavar="NAME,NAME", help="Factors to fit; default: all touched.")
@click.option(
    "--check", "checks", metavar="FILE", multiple=True, help="Judged, not fitted; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("--force", is_flag=True, help="Replace PROFILE.toml.")
def calibrate_command(
    *,
    files: tuple[str, ...],
    out: str,
    gpu: str | None,
    model: str | None,
    config_file: str | None,
    sets: tuple[str, ...],
    vllm_args: str | None,
    names: str | None,
    checks: tuple[str, ...],
    as_json: bool,
    force: bool,
) -> None:
    """Fit the factors of the step-time model to FILES, and write them as settings for --config.

    FILES: steps as JSON lines or CSV, the log of a vLLM with --enable-logging-iteration-details,
    or tables of kernel timings.

    \b
    agentsim calibrate run1.steps.jsonl.gz --gpu cpu --model tiny-qwen2-82m -o mine.toml
    agentsim replay trace.jsonl --config mine.toml
    """
    from pathlib import Path

    from agentsim.calibration.files import read_observations
    from agentsim.calibration.fit import fit
    from agentsim.calibration.parameters import chosen, prior_values
    from agentsim.calibration.profile import profile_toml
    from agentsim.calibration.residuals import residuals_of
    from agentsim.cli.screen import emit
    from agentsim.errors import ConfigError
    from agentsim.machine.system import read_config

    target = Path(out)
    if target.exists() and not force:
        raise ConfigError(f"{target}: exists; use --force to replace it")
    path = Path(config_file) if config_file is not None else None
    config, _ = read_config(path, sets=sets, vllm_args=vllm_args, gpu=gpu, model=model)
    observations = read_observations([Path(file) for file in files], config)
    left_out = read_observations([Path(file) for file in checks], config)
    priors = prior_values(config)
    found = fit(observations, chosen(names, config, observations, priors), priors)
    if names is not None and (loose := [f.name for f in found.factors if not f.is_identified]):
        raise ConfigError(f"--fit {loose[0]}: too few points to identify it; leave it out")
    checked = residuals_of(left_out, found.values)
    try:
        target.write_text(profile_toml(found, config, checked), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}") from error
    emit(_json(found, checked) if as_json else _text(found, checked))


def _json(found: Fit, checked: list[Residuals]) -> str:
    import msgspec

    plain = {
        "factors": found.factors,
        "covariance": found.covariance.tolist(),
        "residuals": found.residuals,
        "left_out": checked,
        "spreads": found.spreads,
    }
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n"


def _text(found: Fit, checked: list[Residuals]) -> str:
    from agentsim.calibration.profile import residual_lines, standing

    lines = ["Factors"]
    lines += [f"  {f.name} = {f.value:.4g}  ({standing(f)})" for f in found.factors]
    lines += ["Fitted", *(f"  {line}" for line in residual_lines(found.residuals))]
    if checked:
        lines += ["Left out", *(f"  {line}" for line in residual_lines(checked))]
    return "\n".join(lines) + "\n"
