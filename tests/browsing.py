"""A real Chromium, for tests that use pages as people do: with no way out of this machine, and nothing left behind."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 780}
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine; skips where there is none."""
    path = shutil.which("chromium")
    if path is None:
        reason = "no Chromium: apt-get install chromium"
        if os.environ.get("TOKENTAPE_CHROMIUM_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


class Visitor:
    """A page of a browser, and all that was amiss while it was used."""

    def __init__(self, page: Page, port: int) -> None:
        self.page = page
        self._site = f"http://127.0.0.1:{port}"
        self.amiss: list[str] = []
        page.add_init_script(_WATCH)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.amiss.append(f"error: {error}"))
        page.on("dialog", self._interrupted)
        page.on("request", lambda request: self._asked(request.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.amiss.append(f"{message.type}: {message.text}")

    def _interrupted(self, dialog: Dialog) -> None:
        self.amiss.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, url: str) -> None:
        if not url.startswith(f"{self._site}/"):
            self.amiss.append(f"asked for {url[:100]}")

    def go(self, path: str) -> Page:
        """Load a page."""
        self.page.goto(self._site + path)
        return self.page

    def check(self) -> None:
        """Nothing was amiss: no error, no script that should not run, no request to anybody else."""
        if self.page.url.startswith("http") and self._scripts():
            self.amiss += self.page.evaluate("window.violations")
            assert self.page.evaluate("window.pwned === undefined")
        assert self.amiss == []

    def _scripts(self) -> bool:
        return bool(self.page.evaluate("Array.isArray(window.violations)"))

    def barriers(self) -> list[str]:
        """What keeps people with a screen reader, or poor sight, from using the page: what axe finds serious."""
        found: Any = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        return [
            f"{one['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for one in found
            if one["impact"] in {"serious", "critical"}
            for node in one["nodes"][:3]
        ]


@contextmanager
def visitor(browser: Browser, port: int, **options: Any) -> Iterator[Visitor]:
    """A page of a new profile; `options` as playwright takes them."""
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    try:
        yield Visitor(context.new_page(), port)
    finally:
        context.close()
