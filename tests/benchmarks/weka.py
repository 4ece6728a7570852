"""28,825 recorded calls of coding agents: ``python weka.py``. The whole process in 20 seconds."""

from measure import Row, agentsim, best_of, ratio, shared, show, yardstick

TIMES = 2


def rows() -> list[Row]:
    """One row."""
    trace = str(shared("traces/weka-claude-code/calls.jsonl.gz"))
    command = agentsim(
        "replay", trace, "--gpu", "h100", "--model", "llama-3.1-8b", "--agents", "16",
        "--too-long", "truncate",
    )  # fmt: skip
    cost = best_of(TIMES, {"ours": command, "second": yardstick()})
    figure = ratio(cost["ours"], cost["second"])
    load = "weka-claude-code, 28,825 calls, 16 agents: whole process"
    return [Row(load, cost["ours"], f"yardstick {cost['second']}", figure, at_most=20.0)]


if __name__ == "__main__":
    show(rows)
