"""Debian's chromium on the pages, driven by Playwright: sessions, faults, pictures, and what axe-core says.

A test takes the fixture `page`, or `visit` for a box of its own, for a role, or for a browser without JavaScript
(`java_script_enabled=False`). What a page says on its console as an error, or does not catch, fails the test; where
that is meant to happen, the test says so with `page.visit.forgive(pattern)`.
"""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.needs import NODE_MODULES, ROOT, needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.http.served import ServedBox

BROWSER = needs("chromium", "axe-core")  # for `pytestmark`
PICTURES = ROOT / "build/screenshots"
WIDE, NARROW = 1440, 375
SCHEMES = ("light", "dark")
_HEIGHT = 900
_AXE = NODE_MODULES / "axe-core/axe.min.js"
_ARGUMENTS = (
    "--no-sandbox",  # tests run as root, too
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def expect(locator):
    """Playwright's assertions, which wait; the machine may be busy."""
    from playwright.sync_api import expect as of_playwright

    of_playwright.set_options(timeout=30_000)
    return of_playwright(locator)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. While it runs its thread counts as one with an event loop: `asyncio.run` fails there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(_ARGUMENTS))
        yield browser
        browser.close()


class Visits:
    """The pages that one test opens, and the faults that they had."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts = []
        self.faults: list[str] = []

    def __call__(self, box: ServedBox, role: str | None = "operator", **options) -> Page:
        """A page of a box's server, on its overview; without a role one that has no session.

        Args:
            box: whose agent serves.
            role: of the session.
            options: of Playwright's browser context.
        """
        settings = {"viewport": {"width": WIDE, "height": _HEIGHT}, "base_url": box.base, "timezone_id": "UTC"}
        context = self._browser.new_context(**(settings | options))
        self._contexts.append(context)
        page = context.new_page()
        page.visit = self
        page.on("console", lambda said: self._heard(f"console: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: self._heard(f"not caught: {error}"))
        if role:
            page.goto(box.say("token", "link", "--role", role))
        return page

    def _heard(self, fault: str) -> None:
        self.faults.append(fault)

    def forgive(self, pattern: str) -> None:
        """Faults so far that were meant to happen; there must be some."""
        kept = [fault for fault in self.faults if not re.search(pattern, fault)]
        assert len(kept) < len(self.faults), f"no fault matches {pattern}: {self.faults}"
        self.faults = kept

    def close(self) -> None:
        """Close all pages; faults that no test forgave fail it."""
        for context in self._contexts:
            context.close()
        assert not self.faults, "\n".join(self.faults)


def picture(page: Page, name: str, *, whole: bool = False) -> None:
    """Write pictures of a page, wide and narrow, light and dark, to build/screenshots/NAME-1440-light.png and so on:
    of what its window shows, or of the whole page. Nothing of the page may stick out of its window's sides.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": _HEIGHT})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=whole)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} sticks out at {width} pixels"
    page.set_viewport_size({"width": WIDE, "height": _HEIGHT})
    page.emulate_media(color_scheme="light")


def audit(page: Page) -> None:
    """What axe-core finds that is serious or critical, wide and narrow, light and dark: nothing.

    It is evaluated in the page as the debugger does it: the page's Content-Security-Policy stays as it is.
    """
    page.evaluate(_AXE.read_text() + ";0")
    found = []
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": _HEIGHT})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            for violation in page.evaluate("async () => (await axe.run()).violations"):
                if violation["impact"] in ("serious", "critical"):
                    where = [node["target"] for node in violation["nodes"][:5]]
                    found.append(f"{width} {scheme}: {violation['id']}: {violation['help']}: {where}")
    page.set_viewport_size({"width": WIDE, "height": _HEIGHT})
    page.emulate_media(color_scheme="light")
    assert not found, "\n".join(found)
