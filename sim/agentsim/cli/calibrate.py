"""`agentsim calibrate`: fit the factors of the step-time model to measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from agentsim.calibration.fit import Fit
    from agentsim.calibration.residuals import Residuals
    from agentsim.domain.config import Config


@click.command("calibrate", short_help="Fit the step-time model to what was measured.")
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
    """Fit the factors of the step-time model to FILES, and write a profile for --profile.

    FILES: steps as JSON lines or CSV, the log of a vLLM with --enable-logging-iteration-details,
    tables of kernel timings or of points, folders of measured runs, results of 'vllm bench serve
    --save-result --save-detailed'. Runs name their own GPU, model and settings.

    \b
    agentsim calibrate server.log --gpu l4 --model qwen2.5-14b-awq -o mine.toml
    agentsim calibrate measured/mine -o mine.toml
    agentsim replay trace.jsonl --profile mine.toml
    """
    from pathlib import Path

    from agentsim.calibration.files import read_observations
    from agentsim.calibration.fit import check_identified, fit, fit_identified
    from agentsim.calibration.parameters import chosen, prior_values
    from agentsim.calibration.profile import (
        check_target,
        profile_of,
        profile_toml,
        remarks_of,
        write_profile,
    )
    from agentsim.calibration.residuals import residuals_of
    from agentsim.calibration.units import check_scale
    from agentsim.cli.screen import emit
    from agentsim.machine.catalog import find_gpu

    target = Path(out)
    check_target(target, force=force)
    paths, judged = [Path(file) for file in files], [Path(file) for file in checks]
    config, is_named = _config(
        [*paths, *judged],
        config_file=config_file,
        sets=sets,
        vllm_args=vllm_args,
        gpu=gpu,
        model=model,
    )
    after = [*_as_sets(vllm_args), *sets]
    observations = read_observations(paths, config, sets=after, is_named=is_named)
    left_out = read_observations(judged, config, sets=after, is_named=is_named)
    priors = prior_values(config, observations)
    check_scale([*observations, *left_out], priors)
    wanted = chosen(names, observations, priors)
    loose: tuple[str, ...] = ()
    if names is None:
        found, loose = fit_identified(observations, wanted, priors)
    else:
        found = fit(observations, wanted, priors)
        check_identified(found, is_asked=True)
    checked = residuals_of(left_out, found.values)
    unused = {item.source: item.left_out for item in [*observations, *left_out]}
    source = "'agentsim calibrate' " + ", ".join(item.source for item in observations)
    gpu_spec = find_gpu(config.gpu, config.profile)
    profile = profile_of(
        found, gpu_spec.name, source, held=gpu_spec.profile, keep_loose=names is not None
    )
    write_profile(target, profile_toml(profile, remarks_of(found, loose, checked, unused)))
    judged_and_not = (loose, checked, unused)
    if as_json:
        emit(_json(found, *judged_and_not))
    else:
        emit(f"Profile of {gpu_spec.name}, in {out}\n{_text(found, *judged_and_not)}")


def _config(
    files: list[Path],
    *,
    config_file: str | None,
    sets: tuple[str, ...],
    vllm_args: str | None,
    gpu: str | None,
    model: str | None,
) -> tuple[Config, bool]:
    """The settings, with the GPU of the runs where none is given; whether the model is given."""
    from pathlib import Path

    from agentsim.calibration.files import gpus_named_by
    from agentsim.domain.config import Config
    from agentsim.errors import ConfigError
    from agentsim.machine.system import read_config

    path = Path(config_file) if config_file is not None else None
    config, _ = read_config(path, sets=sets, vllm_args=vllm_args, gpu=gpu, model=model)
    if gpu is None and config.gpu == Config().gpu and (found := gpus_named_by(files)):
        if len(found) > 1:
            raise ConfigError(
                f"runs of several GPUs: {', '.join(found)}: a profile is of one, choose it with "
                "--gpu"
            )
        config, _ = read_config(path, sets=sets, vllm_args=vllm_args, gpu=found[0], model=model)
    return config, model is not None or config.model != Config().model


def _as_sets(vllm_args: str | None) -> list[str]:
    """Arguments of `vllm serve` as settings, for runs."""
    import json

    from agentsim.machine.vllm_args import parse_vllm_args

    given = parse_vllm_args(vllm_args or "").settings
    return [f"{name}={json.dumps(value)}" for name, value in given.items()]


def _json(
    found: Fit,
    loose: tuple[str, ...],
    checked: list[Residuals],
    unused: dict[str, tuple[str, ...]],
) -> str:
    from agentsim.cli.screen import json_text

    plain = {
        "factors": found.factors,
        "not_identified": loose,
        "covariance": found.covariance.tolist(),
        "residuals": found.residuals,
        "left_out": checked,
        "spreads": found.spreads,
        "run_spread": found.run_spread,
        "not_used": {source: reasons for source, reasons in unused.items() if reasons},
    }
    return json_text(plain)


def _text(
    found: Fit,
    loose: tuple[str, ...],
    checked: list[Residuals],
    unused: dict[str, tuple[str, ...]],
) -> str:
    from textwrap import fill

    from agentsim.calibration.profile import left_out_lines, residual_lines, standing

    lines = ["Factors"]
    lines += [f"  {f.name} = {f.value:.4g}  ({standing(f)})" for f in found.factors]
    if loose:
        lines.append(f"  not identified, as before: {', '.join(loose)}")
    lines += ["Fitted", *(f"  {line}" for line in residual_lines(found.residuals))]
    if checked:
        lines += ["Left out", *(f"  {line}" for line in residual_lines(checked))]
    lines += left_out_lines(unused)
    return "".join(fill(line, 80, subsequent_indent="    ") + "\n" for line in lines)
