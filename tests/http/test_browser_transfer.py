"""What a visit costs in a browser: little at first, next to nothing later."""

from __future__ import annotations

import shutil

from tests.http.browser import BROWSER, expect
from tests.http.samples import write_samples
from tests.needs import ROOT

pytestmark = BROWSER

_BUDGET = 200_000  # bytes of a first visit
_AGAIN = 40_000  # of a second one: the page itself


class Traffic:
    """The bytes that a page costs, by address, as the browser counts them; of what it has kept there are none."""

    def __init__(self, page) -> None:
        self.bytes: dict[str, int] = {}
        self._addresses: dict[str, str] = {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", lambda said: self._asked(said["requestId"], said["request"]["url"]))
        session.on("Network.loadingFinished", lambda said: self._came(said["requestId"], said["encodedDataLength"]))

    def _asked(self, number: str, address: str) -> None:
        self._addresses[number] = address

    def _came(self, number: str, count: float) -> None:
        address = self._addresses.get(number, number)
        self.bytes[address] = self.bytes.get(address, 0) + int(count)

    def take(self) -> dict[str, int]:
        """What has come since the last time."""
        found, self.bytes = self.bytes, {}
        return found


def of_static(found: dict[str, int]) -> int:
    """The bytes of static files."""
    return sum(count for address, count in found.items() if "/static/" in address)


def go(page, path: str) -> None:
    """Visit a page, as a link of ours does, until all of it is there."""
    page.evaluate("path => { location.href = path; }", path)
    page.wait_for_url(f"**{path}")
    page.wait_for_load_state("networkidle")


def test_a_first_visit_is_small_and_a_second_brings_the_page_alone(visit, served):
    page = visit(served)
    traffic = Traffic(page)
    page.context.new_cdp_session(page).send("Network.clearBrowserCache")
    go(page, "/logs?since=6h")
    expect(page.locator("#rows .event").first).to_be_visible()
    first = traffic.take()
    assert of_static(first) > 10_000
    assert sum(first.values()) <= _BUDGET, first
    go(page, "/logs?since=24h")
    second = traffic.take()
    assert of_static(second) == 0, second
    assert sum(second.values()) <= _AGAIN, second


def test_an_upgrade_brings_new_files_to_an_old_browser(visit, box, tmp_path):
    count = write_samples(box)
    box.serve()
    box.stored(count)
    page = visit(box)
    ground = page.evaluate("getComputedStyle(document.body).outlineColor")
    newer = tmp_path / "newer"
    shutil.copytree(ROOT / "agent", newer / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    with (newer / "agent/http/static/style.css").open("a") as file:
        file.write("\nbody { outline-color: rgb(1, 2, 3); }\n")
    box.stop()
    box.env["PYTHONPATH"] = str(newer)
    box.serve()
    traffic = Traffic(page)
    go(page, "/logs")
    assert page.evaluate("getComputedStyle(document.body).outlineColor") == "rgb(1, 2, 3)" != ground
    assert of_static(traffic.take()) > 0
    expect(page.locator("#rows .event").first).to_be_visible()
