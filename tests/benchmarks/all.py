"""Every benchmark as one table: ``python tests/benchmarks/all.py``; `--write` keeps it in the docs.

A benchmark whose rival or data is absent becomes a line that says what to install.
"""

import sys

import against_dynamo
import against_sched_sim
import against_vllm
import laws
import million
import pages
import start
import studies
import sweep
import weka
from measure import HERE, Absent, Row, table

BENCHMARKS = (
    start, studies, weka, million, pages, laws, sweep, against_sched_sim, against_dynamo,
    against_vllm,
)  # fmt: skip
PAGE = HERE.parents[1] / "docs" / "speed.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"


def everything() -> list[Row]:
    """The rows of all benchmarks."""
    found: list[Row] = []
    for benchmark in BENCHMARKS:
        print(benchmark.__name__, file=sys.stderr)
        try:
            found += benchmark.rows()
        except Absent as error:
            print(f"skipped: {error}", file=sys.stderr)
            found.append(Row(benchmark.__name__.replace("_", " "), "not measured"))
    return found


def write(text: str) -> None:
    """Put the table between the markers of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE}: expected the lines {BEGIN.strip()!r} and {END!r}")
    PAGE.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--write"]):
        sys.exit(f"usage: {sys.argv[0]} [--write]")
    found = table(everything())
    print(found)
    if sys.argv[1:]:
        write(found)
