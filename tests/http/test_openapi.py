"""The description of the API: valid, of every address and of no other, and what the real server does."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from agent.answers.pool import WorkerPool
from agent.config import HttpConfig
from agent.http.app import make_app
from agent.http.live import LiveAgent
from agent.http.openapi import EXAMPLES, TEXTS, document
from agent.http.tails import Tails
from agent.serving import ServerSettings
from tests.http.alone import lone
from tests.http.test_same_rows import a_log
from tests.query.tiers import Tiers

if TYPE_CHECKING:
    from starlette.applications import Starlette

DOCUMENT = json.loads(json.dumps(document()))
OPERATIONS = [
    (address, method, operation) for address, found in DOCUMENT["paths"].items() for method, operation in found.items()
]


def test_a_validator_accepts_it():
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_address_of_the_api_is_in_it_and_no_other():
    settings = ServerSettings(http=HttpConfig(), store="/nowhere", archive_directory="/nowhere")
    pool = WorkerPool(None)
    app: Starlette = make_app(settings, LiveAgent(), pool, Tails(None, pool))._app._app
    served = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in route.methods - {"HEAD"}
    }
    assert served == {(address, method) for address, method, _ in OPERATIONS}


@pytest.mark.parametrize(("address", "method", "operation"), OPERATIONS)
def test_each_is_described(address, method, operation):
    assert operation["summary"].endswith(".")
    assert {"200", "401", "403", "405", "429"} <= operation["responses"].keys()
    assert ("413" in operation["responses"]) == (method != "get")
    for one in operation.get("parameters", ()):
        assert one.get("description") or one["in"] == "path"
    for answer in operation["responses"].values():
        for media in answer["content"].values():
            assert media["schema"]
    for media in operation.get("requestBody", {"content": {}})["content"].values():
        for example in media["schema"]["examples"]:
            jsonschema.validate(example, media["schema"])


def test_no_text_and_no_example_is_left_over():
    names = {operation["operationId"].partition("_")[0] for _, _, operation in OPERATIONS}
    assert {name.partition("_")[0] for name in TEXTS} == names - {"openapi"}
    assert {f"/api/v1{place}" for place in EXAMPLES} <= DOCUMENT["paths"].keys()


# ---------------------------------------------------------------- against a real server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    rule = {"name": "many-errors", "match": "severity>=error", "when": {"count": 3}, "window": "5m"}
    with Tiers(tmp_path_factory.mktemp("openapi") / "t") as tiers:
        for number in range(2):
            tiers.store(f"log{number}", a_log(number))
            tiers.archive(f"log{number + 1}", a_log(number + 1))
        with lone(tiers.path, {"alerts": [rule]}) as made:
            yield made


def test_examples_are_answered_as_it_says(server):
    schemas = {"components": DOCUMENT["components"]}
    with server.client("operator") as client:
        for address, method, operation in OPERATIONS:
            if method != "get" or address.endswith("/tail"):
                continue
            place = address.removeprefix("/api/v1")
            answer = client.get(f"{address.replace('{id}', '1')}?{EXAMPLES.get(place, '')}")
            assert answer.status_code == 200, (address, answer.text)
            [(media, said)] = operation["responses"]["200"]["content"].items()
            assert answer.headers["content-type"] == media
            schema = {**said["schema"], **schemas}
            if media == "application/x-ndjson":
                schema = {**said["x-item-schema"], **schemas}
                for line in answer.text.splitlines():
                    jsonschema.validate(json.loads(line), schema)
            else:
                jsonschema.validate(answer.json(), schema)


# A text that is no query, no time or no duration is refused, and no schema knows of it; a wrong token, tried often,
# would close the door for all that follows (test_access has both).
LEFT_OUT = "positive_data_acceptance,ignored_auth"


def attack(server, *more: str) -> None:
    """Let schemathesis ask what the description allows and what it does not, and hold each answer against it."""
    root = server.store.parent
    (root / "openapi.json").write_text(json.dumps(DOCUMENT))
    token = server.say("token", "create", f"fuzz{len(more)}", "--role", "operator")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", server.base),
        *("-H", f"Authorization: Bearer {token}", "--rate-limit", "auto"),
        *("--checks", "all", "--exclude-checks", LEFT_OUT, "--exclude-path", "/api/v1/tail"),  # which has no end
        *("--suppress-health-check", "all", *more),
    ]
    done = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Tested: {len(OPERATIONS) - 1}" in done.stdout


def test_a_fuzzer_finds_no_fault_and_nothing_that_contradicts_it(server):
    attack(server, "--phases", "examples,fuzzing", "--max-examples", "3")


@pytest.mark.soak
def test_a_fuzzer_finds_nothing_in_a_minute(server):
    attack(server, "--max-time", "60")
