"""A headless Chromium that looks at pages: what it was asked to load, what it said, and what axe finds."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
REQUIRED = os.environ.get("RLLAVA_REQUIRE_BROWSER") == "1"


def missing() -> str:
    """What is not there to run these tests with; empty if all is."""
    if shutil.which("chromium") is None:
        return "no chromium on this machine (apt-get install chromium)"
    try:
        import axe_playwright_python  # noqa: F401
        import playwright.sync_api  # noqa: F401
    except ImportError as error:
        return f"the Python package {error.name} is not installed (the extra `dev` has it)"
    return ""


def needs_browser() -> None:
    """Skip where there is no browser, unless one is required."""
    if reason := missing():
        if REQUIRED:
            pytest.fail(f"RLLAVA_REQUIRE_BROWSER=1: {reason}")
        pytest.skip(reason)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, for as many tabs as wanted."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A tab that has opened a page, and listens.

    Attributes:
        tab: Playwright's page.
        requests: The addresses that were asked for, but data: ones, which are in the page itself.
        said: What the console was told and what was raised: a page in order says nothing.
        dialogs: Texts of alerts and the like.
    """

    def __init__(self, browser: Any, address: Path | str, hash: str = "", **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.tab = self.context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.dialogs: list[str] = []
        self.tab.on("request", lambda r: None if r.url.startswith("data:") else self.requests.append(r.url))
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("dialog", self._dialog)
        self.address = address.resolve().as_uri() if isinstance(address, Path) else address
        self.tab.goto(self.address + (f"#{hash}" if hash else ""))
        self.wait()

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def wait(self, view: str = "") -> None:
        """Until the view that was asked for is drawn."""
        # Not wait_for_function: that evaluates a text inside the page, whose policy forbids it.
        self.tab.locator(f"html[data-ready='{view}']" if view else "html[data-ready]").wait_for(state="attached")

    def wait_for_hash(self, part: str) -> None:
        """Until the address says so."""
        self.tab.wait_for_url(re.compile(re.escape(part)))

    def to(self, hash: str) -> None:
        """Another place in the same page."""
        self.tab.evaluate("hash => { delete document.documentElement.dataset.ready; location.hash = hash; }", hash)
        self.wait()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.keyboard.press(key)

    def at(self) -> str:
        return str(self.tab.evaluate("location.hash"))

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.tab.locator(selector).all_inner_texts()]

    def text(self) -> str:
        return str(self.tab.locator("main").inner_text())

    def serious(self) -> list[str]:
        """What axe finds that is serious or critical, in words."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.tab).response["violations"]
        return [
            f"{each['id']}: {each['help']}: {node['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]
