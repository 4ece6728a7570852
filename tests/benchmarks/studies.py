"""How long comparing and planning take: ``python studies.py``."""

from measure import HERE, Row, agentsim, best_of, ratio, show, yardstick

SRE = str(HERE.parents[1] / "traces" / "itbench-sre.jsonl")
TIMES = 3
COMPARE = ("compare", SRE, "-c", "hf", "-c", "serial", "-c", "full", "-c", "spec")
#: Over the default space, in one process; the goal is that of two cores, used to 85 %.
PLAN = ("plan", SRE, "--agents", "20", "--jobs", "1", "--slo", "p95 ttft < 2s",
        "--slo", "p90 session < 10min")  # fmt: skip
TWO_CORES = 2 * 0.85


def rows() -> list[Row]:
    """One row each."""
    cost = best_of(TIMES, {"compare": agentsim(*COMPARE), "second": yardstick()})
    search = best_of(1, {"plan": agentsim(*PLAN), "second": yardstick()})
    beside, second = f"yardstick {cost['second']}", search["second"]
    return [
        Row(
            "`compare` of the case study's four configurations, with intervals",
            cost["compare"],
            beside,
            ratio(cost["compare"], cost["second"]),
            at_most=3,
        ),
        Row(
            "`plan` of the ITBench trace, 20 agents, default space, one process",
            search["plan"],
            f"yardstick {second}",
            ratio(search["plan"], second),
            at_most=60 * TWO_CORES,
        ),
    ]


if __name__ == "__main__":
    show(rows)
