"""How long ``agentsim --help`` takes: ``python start.py``."""

from measure import Row, agentsim, best_of, ratio, show, yardstick

TIMES = 5


def rows() -> list[Row]:
    """One row."""
    cost = best_of(TIMES, {"ours": agentsim("--help"), "second": yardstick()})
    figure = ratio(cost["ours"], cost["second"])
    return [
        Row("`agentsim --help`", cost["ours"], f"yardstick {cost['second']}", figure, at_most=0.3)
    ]


if __name__ == "__main__":
    show(rows)
