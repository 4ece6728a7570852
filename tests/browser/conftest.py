"""A real headless Chromium; where there is none, these tests are skipped and say so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.opened import Opened

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
        "--disable-component-update", "--no-first-run")  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser, started once; its event loop must be gone when other tests run theirs."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium: install one (apt-get install chromium) to test reports in it")
    api = pytest.importorskip("playwright.sync_api", reason="pip install 'agentsim[browser]'")
    with api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=list(ARGS))
        yield browser
        browser.close()


@pytest.fixture
def look(chromium: Any) -> Iterator[Any]:
    """Open a file as a page; afterwards nothing was asked of a network and nothing went wrong."""
    opened: list[Opened] = []

    def open_file(path: Path, **settings: Any) -> Any:
        opened.append(Opened(chromium, path, settings))
        return opened[-1].page

    yield open_file
    for one in opened:
        one.close()
