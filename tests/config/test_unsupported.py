"""What this version would silently ignore is refused by name."""

from __future__ import annotations

from pathlib import Path

from agent.config import unsupported
from tests.config.conftest import GOOD


def test_a_plain_configuration_asks_for_nothing_missing(workshop):
    assert unsupported(workshop.load(GOOD + "http: null\nalerts: []\nhooks: {}\n")) == []


def test_each_missing_feature_is_one_error(workshop):
    text = (
        "sources:\n  - {name: a, include: [/a], format: syslog}\n  - {name: b, include: [/b], rotate: {every: 1d}}\n"
        "http: {}\n"
    )
    errors = unsupported(workshop.load(text), Path("/e.yaml"))
    assert {error.subject for error in errors} == {"/e.yaml: http"}
    assert all(error.code == "SL109" and error.exit_code == 78 for error in errors)
    assert all(error.message.endswith(" is not in this version") for error in errors)
