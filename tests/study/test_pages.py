"""The reports of studies: comparisons, plans, explanations, sweeps."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from agentsim import Config
from agentsim.machine.catalog import gpus
from agentsim.report.gpu_prices import read_price_table
from agentsim.report.html.page import page_text
from agentsim.study.compare import compare
from agentsim.study.compare_page import compare_page
from agentsim.study.explain import explain
from agentsim.study.explain_page import explain_page
from agentsim.study.figures import Figure, read_figure
from agentsim.study.plan import plan
from agentsim.study.plan_page import plan_page
from agentsim.study.plan_text import headline
from agentsim.study.sweep_page import pareto, sweep_page
from agentsim.study.variants import Sources, Variant
from study.loads import agents


class Texts(HTMLParser):
    """The texts and the labels of drawings of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.labels: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.labels += [value for key, value in attrs if key == "aria-label" and value]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_comparison_marks_by_words_what_is_best_and_what_is_equal() -> None:
    names = ("<i>fast</i>", "slow", "impossible")
    configs = [
        Variant(names[0], Config()),
        Variant(names[1], Sources(sets=("engine.kind=hf",)).read()[0]),
        Variant(names[2], Sources(sets=("engine.max_model_len=4000000000",)).read()[0]),
    ]
    found = compare(agents(2), configs, samples=4)
    read = Texts(page_text(compare_page(found, "t.jsonl")))
    assert "best" in read.texts
    for name in names:
        assert name in read.texts
    failure = found.outcomes[2].failure
    assert failure in read.texts
    assert "engine.kind" in read.texts
    drawn = next(label for label in read.labels if label.startswith("runtime: "))
    assert f"{names[0]} " in drawn
    assert ", best" in drawn
    assert f"{names[2]} cannot run" in drawn
    shared = [text for text in read.texts if text.startswith("bandwidth_efficiency")]
    assert shared, "what the figures rest on"


def test_a_plan_shows_its_answer_what_stands_around_it_and_its_prices() -> None:
    vary = ("gpu=l4,l40s", "engine.tensor_parallel_size=1", "cluster.replicas=1,2")
    found = plan(
        agents(4, tokens=1500), ("p95 ttft < 2s",), vary=vary, trials=2, samples=2,
        sources=Sources(sets=("agents.num_agents=8",)),
    )  # fmt: skip
    table = read_price_table(None, gpus())
    read = Texts(page_text(plan_page(found, "t.jsonl", table)))
    assert headline(found).partition(". ")[0] + "." in read.texts
    assert any(label.startswith("p95 ttft by agents: 1: ") for label in read.labels)
    assert any("options keep all objectives" in label for label in read.labels)
    for gpu in found.space.rents:
        assert table[gpu][0].source in read.texts
    for one in found.tried:
        assert one.option.name() in read.texts
    for gpu, why in found.rejected().items():
        assert gpu in read.texts
        assert why in read.texts


def test_an_explanation_shows_each_mechanism_and_what_is_left_to_gain() -> None:
    first = Variant("one <at> a time", Sources(sets=("engine.max_num_seqs=1",)).read()[0])
    found = explain(agents(3), first, Variant("full", Config()), read_figure("runtime"), jobs=1)
    read = Texts(page_text(explain_page(found, "t.jsonl")))
    drawn = next(label for label in read.labels if label.startswith("runtime. "))
    assert drawn.startswith("runtime. one <at> a time ")
    for each in found.effects:
        assert f"; {each.mechanism} " in drawn
        assert each.mechanism in read.texts
    for bound in found.bounds:
        assert bound.meaning in read.texts


def frame() -> pd.DataFrame:
    """Four runs, one of which is beaten in both, and two that failed."""
    rows: list[dict[str, Any]] = [
        {"point": 0, "status": "ok", "gpu": "l4", "runtime_s": 100.0, "run_usd": 1.0},
        {"point": 1, "status": "ok", "gpu": "l40s", "runtime_s": 50.0, "run_usd": 2.0},
        {"point": 2, "status": "ok", "gpu": "<u>", "runtime_s": 120.0, "run_usd": 1.5},
        {"point": 3, "status": "ok", "gpu": "b200", "runtime_s": 20.0, "run_usd": math.nan},
        {"point": 4, "status": "failed", "gpu": "t4", "reason": "<s>does not fit</s>"},
        {"point": 5, "status": "failed", "gpu": "t4", "reason": "<s>does not fit</s>"},
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def figures() -> list[Figure]:
    return [read_figure("runtime"), read_figure("cost")]


def test_a_sweep_shows_what_is_best_the_front_and_why_others_failed(figures: list[Figure]) -> None:
    read = Texts(page_text(sweep_page(frame(), figures, "spec.toml", settings=["gpu"])))
    assert "runtime: 20.0 s is the best of 4 runs, with gpu=b200." in read.texts
    assert "3 runs, 2 of which no other beats in both" in read.labels
    assert "<u>" in read.texts
    at = read.texts.index("<s>does not fit</s>")
    assert read.texts[at + 1] == "2"


def test_the_front_of_a_sweep_is_what_nothing_beats(figures: list[Figure]) -> None:
    rows: list[Any] = frame().head(3).to_dict("records")
    assert [row["point"] for row in pareto(rows, *figures)] == [1, 0]


def test_a_sweep_of_which_nothing_came_has_a_report(figures: list[Figure]) -> None:
    lost = frame().tail(2)
    text = page_text(sweep_page(lost, figures, "spec.toml", settings=["gpu"]))
    assert "None of 2 runs has a figure runtime." in text
