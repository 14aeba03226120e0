"""The pictures that docs/web.md shows: `make pictures` makes them anew, in docs/img, of a shop whose new release breaks
something. Without its option they are made beside the other screenshots, to see that they can be.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.routing import Route

from agent.answers.pool import WorkerPool
from agent.config import HttpConfig
from agent.http.app import make_app
from agent.http.live import LiveAgent
from agent.http.tails import Tails
from agent.serving import ServerSettings
from tests.http.browser import BROWSER, PICTURES, expect
from tests.http.release import BROKEN, group_of, write_release
from tests.http.release import TRACE_ID as RELEASE_TRACE
from tests.http.served import ServedBox
from tests.integration.harness import append, wait_until
from tests.needs import ROOT

IMAGES = ROOT / "docs/img"
PAGE = (ROOT / "docs/web.md").read_text()
WIDTH, HEIGHT = 1280, 800
MOST_BYTES = 120_000
QUALITY = 80
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
STEPS = ("session opened", "ledger answers slowly", "payment was authorised twice", "session closed")
PAGES = {
    "overview": "/",
    "logs": "/logs?q=severity%3E%3Dwarn&since=1h",
    "errors": "/errors",
    "group": "/errors/ID",
    "alerts": "/alerts?rule=many-errors",
    "trace": f"/trace/{TRACE_ID}",
    "agent": "/agent",
}
RULES = {
    "archive": {"quiet": "1s"},
    "hooks": {"pager": {"exec": ["/bin/true"]}},
    "alerts": [
        {"name": "many-errors", "match": "severity>=error", "when": {"count": 10}, "window": "10m", "hooks": ["pager"]},
        {"name": "new-error", "match": "severity>=error", "when": {"new_group": True}, "hooks": ["pager"]},
        {"name": "share-of-errors", "match": "severity>=error", "when": {"ratio": "20%"}, "window": "5m"},
        {"name": "auth-is-silent", "match": "service=auth", "when": {"absent": True}, "window": "10m"},
    ],
}
FAULTS = (
    ("billing", "billing.ledger.Conflict: ledger 7 was changed meanwhile", "ledger.py", "write"),
    ("auth", "TimeoutError: no answer of the directory within 5 s", "directory.py", "find"),
    ("billing", "ValueError: invalid literal for int() with base 10: 'n/a'", "invoice.py", "total"),
)
# What a path of the machine that makes them is on the pictures.
PLACES = """places => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode())
    for (const [real, shown] of places) walk.currentNode.data = walk.currentNode.data.replaceAll(real, shown);
}"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    box = ServedBox(tmp_path_factory.mktemp("shop"))
    box.configure(more=RULES)
    count = write_release(box, groups=0)
    for log in box.logs.iterdir():
        text = log.read_text()
        for number, words in enumerate(STEPS):
            text = text.replace(f'"step {number}"', f'"{words}"')
        log.write_text(text.replace(RELEASE_TRACE, TRACE_ID))
    now = datetime.now(UTC)
    for number in range(9):
        service, said, file, name = FAULTS[number % len(FAULTS)]
        trace = f'Traceback (most recent call last):\n  File "/srv/{service}/{file}", line 8, in {name}\n    x\n{said}'
        row = {
            "timestamp": (now - timedelta(minutes=37 - 4 * number)).isoformat(),
            "level": "error",
            "service": service,
        }
        append(box.logs / f"{service}.log", json.dumps(row | {"message": "failed", "exc_info": trace}).encode() + b"\n")
    rows = (
        {"timestamp": (now - timedelta(hours=20, seconds=number)).isoformat(), "level": "info", "message": "started"}
        for number in range(200)
    )
    (box.logs / "shop.log.1").write_text("".join(json.dumps(row) + "\n" for row in rows))
    box.serve()
    box.stored(count + 9)
    wait_until(lambda: box.sql("SELECT count(*) FROM archives")[0][0], 60, "an archive")
    yield box
    box.kill()


@pytest.mark.parametrize("name", PAGES)
@BROWSER
def test_a_picture_can_be_made(request, visit, shop, name):
    page = visit(shop, viewport={"width": WIDTH, "height": HEIGHT})
    page.goto(PAGES[name].replace("ID", str(group_of(shop, BROKEN))) if name == "group" else PAGES[name])
    if name == "logs":
        page.locator("#rows .event", has_text="charge failed").nth(1).locator("summary").first.click()
        expect(page.locator("#rows details.event[open]").first).to_be_visible()
    places = {
        str(Path(sys.executable).parent / "sidelog"): "sidelog",
        str(shop.config): "/etc/sidelog/sidelog.yaml",
        str(shop.logs): "/var/log/shop",
        str(shop.store.parent): "/var/lib/sidelog",
    }
    page.evaluate(PLACES, list(places.items()))
    assert str(shop.root) not in page.inner_text("body")
    said = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    folder = IMAGES if request.config.getoption("--pictures") else PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.webp").write_bytes(made := base64.b64decode(said["data"]))
    assert size_of(made) == (WIDTH, HEIGHT)
    assert len(made) <= MOST_BYTES


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height of a WebP picture with a colour profile, as chromium makes it (RFC 9649)."""
    assert (picture[:4], picture[8:16]) == (b"RIFF", b"WEBPVP8X")
    assert int.from_bytes(picture[4:8], "little") == len(picture) - 8
    return tuple(int.from_bytes(picture[at : at + 3], "little") + 1 for at in (24, 27))


def test_docs_show_each_page_with_its_picture():
    shown = re.findall(r"!\[[^\]]+\]\((\S+)\)", PAGE)
    assert shown == [f"img/{name}.webp" for name in PAGES]
    assert {path.name for path in IMAGES.iterdir()} == {f"{name}.webp" for name in PAGES}
    for path in IMAGES.iterdir():
        picture = path.read_bytes()
        assert size_of(picture) == (WIDTH, HEIGHT)
        assert len(picture) <= MOST_BYTES


def test_docs_name_every_page():
    """Each address that draws one stands there as code."""
    settings = ServerSettings(http=HttpConfig(), store="/nowhere", archive_directory="/nowhere")
    pool = WorkerPool(None)
    routes = make_app(settings, LiveAgent(), pool, Tails(None, pool))._app._app.routes
    served = {
        route.path for route in routes if isinstance(route, Route) and not route.path.startswith(("/api/", "/static/"))
    }
    pages = served - {"/link/{link}", "/pulse", "/metrics", "/ready", "/health"}
    assert len(pages) >= len(PAGES)
    for path in pages:
        named = re.sub(r"\{(\w+)[^}]*\}", lambda match: match[1].upper(), path)
        assert f"`{named}`" in PAGE, path
