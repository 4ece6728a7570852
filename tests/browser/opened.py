"""A page that was opened, and what it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Opened:
    """A file in a window of its own.

    Parameters
    ----------
    browser
        From playwright.
    settings : dict
        Of the window: ``color_scheme``, ``viewport``, ``java_script_enabled`` ...
    """

    def __init__(self, browser: Any, path: Path, settings: dict[str, Any]) -> None:
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri(), wait_until="load")
        self.address = path.as_uri()

    def close(self) -> None:
        """Close it, and find that it asked for nothing and nothing went wrong."""
        self.context.close()
        others = [url for url in self.asked if url != self.address and not url.startswith("data:")]
        assert not others, others
        assert not self.wrong, self.wrong
