"""docs/api.md: its tables are the code's, its examples are run."""

from __future__ import annotations

import json
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.http.openapi import document
from agent.mcp.tools import TOOLS
from tests.api_page import PAGE, page, tables
from tests.http.alone import lone
from tests.needs import needs
from tests.query import tiers as made_tiers
from tests.query.tiers import Tiers

EXAMPLES = [text for text in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if text.startswith("curl")]
RULE = {"name": "many-errors", "match": "severity>=error", "when": {"count": 3}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    now = datetime.now(UTC) - timedelta(minutes=5)
    rows = [{"timestamp": now.isoformat(), "level": "error", "message": "declined", "service": "shop",
             "duration_ms": number, "http": {"path": f"/{number % 3}"}} for number in range(20)]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, Tiers(tmp_path_factory.mktemp("docs") / "t") as tiers:
        patch.setattr(made_tiers, "OBSERVED", time.time_ns())  # when the log was read
        tiers.store("shop", b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        with lone(tiers.path, {"alerts": [RULE]}) as made:
            made.env |= {"SIDELOG_URL": made.base, "TOKEN": made.say("token", "create", "ci", "--role", "operator")}
            yield made


@needs("curl")
@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_answered(server, example):
    if "/tail" in example:  # has no end
        example = f"timeout 3 {example.strip()} | head -c 20"
    done = subprocess.run(
        ["bash", "-c", example.replace("curl -s", "curl --fail-with-body -s")],
        check=False, env=server.env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
    if "/tail" not in example:
        found = (
            [json.loads(line) for line in done.stdout.splitlines()] if "/query" in example else json.loads(done.stdout)
        )
        assert found
        assert "error" not in found


def test_the_tables_are_those_of_the_code():
    text = PAGE.read_text()
    assert text == page(text), "run `make docs`"
    for address, found in document()["paths"].items():
        for method in found:
            assert f"### {method.upper()} {address.removeprefix('/api/v1')}\n" in tables()


def test_every_address_that_takes_something_has_an_example():
    said = "".join(EXAMPLES)
    assert [place for place in ("query", "tail", "counts", "errors", "silences") if f"/{place}" not in said] == []


def test_every_tool_is_on_its_page():
    text = (Path(PAGE).parent / "mcp.md").read_text()
    assert [name for name in TOOLS if f"`{name}`" not in text] == []
