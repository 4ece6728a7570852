"""The report of 100,000 calls: what it adds to a replay, its size, how fast it opens.

``python pages.py``; opening needs a Chromium and ``pip install 'agentsim[browser]'``.
"""

import shutil
import tempfile
from pathlib import Path

import generate
from measure import Absent, Row, agentsim, best_of, run, show

CALLS = 100_000
TIMES = 3
_MIB = 2**20
#: Milliseconds from the start of the navigation until everything is drawn.
_OPENED = """() => new Promise(done => requestAnimationFrame(() => setTimeout(
    () => done(performance.now()))))"""


def rows() -> list[Row]:
    """Time, size, and how long a browser takes to open it."""
    with tempfile.TemporaryDirectory() as folder:
        trace, page = Path(folder) / "trace.jsonl", Path(folder) / "report.html"
        generate.write(CALLS, trace)
        plain = agentsim("replay", str(trace), "--gpu", "h100", "--model", "llama-3.1-8b",
                         "--agents", "64")  # fmt: skip
        run(plain)
        told = [*plain, "--report", str(page), "--force"]
        cost = best_of(1, {"plain": plain, "told": told})
        size = page.stat().st_size / _MIB
        load = f"report of {CALLS:,} calls"
        made = [
            Row(f"{load}: whole process", cost["told"], f"without it {cost['plain']}"),
            Row(f"{load}: size", f"{size:.2f} MiB", "", size, at_most=5, unit=" MiB"),
        ]
        opened_s = min(_opened_s(page) for _ in range(TIMES))
        return [*made, Row(f"{load}: opens in", f"{opened_s:.2f} s", "Chromium", opened_s,
                           at_most=2, unit=" s")]  # fmt: skip


def _opened_s(page: Path) -> float:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((path for name in names if (path := shutil.which(name))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise Absent("no playwright: pip install 'agentsim[browser]'") from error
    if browser is None:
        raise Absent("no Chromium: apt-get install chromium")
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        window = opened.new_page()
        window.goto(page.as_uri(), wait_until="load")
        milliseconds: float = window.evaluate(_OPENED)
        opened.close()
        return milliseconds / 1000


if __name__ == "__main__":
    show(rows)
