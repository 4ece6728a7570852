"""The case study: what must hold of its rows, and the laws behind them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from agentsim.case_study import (
    CONFIGURATIONS,
    WORKLOADS,
    Row,
    case_study,
    configuration,
    figures,
    replay,
    workload,
)
from agentsim.cli import command
from agentsim.domain.trace import Call, Session, Trace
from agentsim.machine.system import build_system, read_config
from agentsim.simulator import simulate
from agentsim.workload.scale import scale_turns

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str, str], Row]:
    return {(r.workload, r.configuration, r.metric): r for r in case_study()}


def test_every_runtime_and_ms_per_token_is_there(rows: dict[tuple[str, str, str], Row]) -> None:
    """Two workloads, four configurations, two figures each."""
    for of in WORKLOADS:
        for name in CONFIGURATIONS:
            for metric in ("runtime_s", "ms_per_token"):
                assert rows[of, name, metric].measured == figures()[of][name][metric]


def test_fitted_rows_are_met(rows: dict[tuple[str, str, str], Row]) -> None:
    """The committed fit is the fit: each fitted end-to-end row agrees within 0.1 %."""
    fitted = [r for r in rows.values() if r.kind == "fitted"]
    assert {(r.workload, r.configuration) for r in fitted} == {
        ("itbench", "hf"),
        ("itbench", "serial"),
        ("swe", "serial"),
    }
    for row in fitted:
        assert row.error == pytest.approx(0, abs=1e-3), row


def test_full_and_spec_are_slower_than_serial(rows: dict[tuple[str, str, str], Row]) -> None:
    """The differences to Serial have the measured sign."""
    for of in WORKLOADS:
        for name in ("full", "spec"):
            row = rows[of, name, "minus_serial_s"]
            assert row.simulated > 0 < row.measured
            assert row.is_met


def test_predicted_rows_but_the_ones_the_docs_name_are_met(
    rows: dict[tuple[str, str, str], Row],
) -> None:
    """What is missed is named in docs/case-study.md; nothing else is."""
    missed = {
        f"{r.workload} {r.configuration} {r.metric}" for r in rows.values() if r.is_met is False
    }
    text = (ROOT / "docs" / "case-study.md").read_text("utf-8")
    listed = text.split("## Missed")[1].split("##")[0]
    assert missed == {line[2:].split(":")[0] for line in listed.splitlines() if line[:2] == "* "}


def test_the_study_figures_are_not_tuned() -> None:
    """The figures in the data file are those of the study."""
    data = tomllib.loads((ROOT / "calibration" / "case_study.toml").read_text("utf-8"))
    assert [data["itbench"][c]["runtime_s"] for c in CONFIGURATIONS] == [10800, 422, 446, 443]
    assert [data["swe"][c]["runtime_s"] for c in CONFIGURATIONS] == [5300, 531, 552, 549]


def grown(num_turns: int, first: int = 400, growth: int = 200) -> Trace:
    """One session whose prompt grows by the same amount each turn."""
    calls = []
    for turn in range(num_turns):
        before = calls[-1] if calls else None
        calls.append(
            Call(
                id=str(turn),
                input_tokens=first + growth * turn,
                output_tokens=20,
                after=(before.id,) if before else (),
                delay_ns=0,
                extends=before.id if before else None,
                keep=before.input_tokens + before.output_tokens if before else 0,
            )
        )
    return Trace([Session(id="s", calls=tuple(calls))])


def prefilled(trace: Trace, *sets: str) -> int:
    config, _ = read_config(sets=list(sets))
    return int(simulate(trace, config).steps["prefill_tokens"].sum())


def test_without_a_cache_prefill_grows_with_the_square_of_the_turns() -> None:
    """T N0 + d T (T - 1) / 2 with Hugging Face; what is new with the prefix cache."""
    for turns in (4, 8, 16):
        whole = turns * 400 + 200 * turns * (turns - 1) // 2
        assert prefilled(grown(turns), "engine.kind=hf") == whole
        new = 400 + 200 * (turns - 1)
        assert new <= prefilled(grown(turns)) + 20 * turns <= new + 36 * turns


def test_serial_equals_full_with_one_agent_but_for_graph_padding() -> None:
    """The same decisions; steps differ only where a chunk fits a captured graph of Full's."""
    serial, _ = replay("itbench", "serial")
    full, _ = replay("itbench", "full")
    for name in ("num_tokens", "prefill_tokens", "decode_context", "new_tokens"):
        assert np.array_equal(serial.steps[name], full.steps[name])
    times = [r.steps["end_ns"] - r.steps["start_ns"] for r in (serial, full)]
    decodes = serial.steps["prefill_tokens"] == 0
    assert np.array_equal(times[0][decodes], times[1][decodes])


def test_paging_wastes_less_than_a_block_for_each_sequence() -> None:
    """Used blocks never exceed what the contexts need by a whole block each."""
    run, system = replay("itbench", "full")
    context = run.steps["prefill_context"] + run.steps["decode_context"]
    size = system.capacity.block_size
    busy = run.steps["num_tokens"] > 0
    wasted = run.steps["used_blocks"][busy] * size - context[busy]
    assert (wasted < size * np.maximum(1, run.steps["running"][busy])).all()


def test_hugging_face_is_out_of_memory_where_the_arithmetic_says() -> None:
    """One token more than fits is refused with the arithmetic, exit code 2."""
    config, _ = read_config(sets=["engine.kind=hf"])
    contiguous = build_system(config).contiguous
    assert contiguous is not None
    most = contiguous.max_tokens
    assert 7_200 <= most <= 8_800  # the study: about 8 000
    contiguous.check_fits("request s/0", most)
    with pytest.raises(Exception, match="out of memory: a context of"):
        contiguous.check_fits("request s/0", most + 1)


def test_scaled_turns_keep_their_structure() -> None:
    """Answers and appended tokens are scaled, first prompts are not."""
    scaled = scale_turns(grown(5), 0.5).sessions[0].calls
    assert [c.output_tokens for c in scaled] == [10] * 5
    assert [c.input_tokens for c in scaled] == [400 + 100 * i for i in range(5)]
    assert workload("swe").num_calls == 203


def test_the_configurations_differ_only_as_stated() -> None:
    """Serial and Full differ in max_num_seqs alone; Spec adds speculation to Full."""
    plain = {n: msgspec.to_builtins(configuration(n, "swe")) for n in CONFIGURATIONS}
    serial, full = plain["serial"]["engine"], plain["full"]["engine"]
    assert {k for k in full if full[k] != serial[k]} == {"max_num_seqs"}
    spec = plain["spec"]["engine"]
    assert {k for k in spec if full[k] != spec[k]} == {
        "speculative_method",
        "num_speculative_tokens",
    }


def test_command_prints_rows_as_json_and_as_text() -> None:
    """`case-study --json` has the documented keys; the text fits 80 columns."""
    result = CliRunner().invoke(command, ["case-study", "--json"])
    rows = json.loads(result.output)["rows"]
    assert {"workload", "configuration", "metric", "measured", "simulated", "kind"} <= set(rows[0])
    text = CliRunner().invoke(command, ["case-study"]).output
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "predicted" in text
