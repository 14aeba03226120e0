"""Secrets are looked up late, reported when missing, and never shown."""

from __future__ import annotations

import pytest

from agent.config import Secret
from agent.core.errors import ConfigError
from tests.config.conftest import GOOD

HOOK = GOOD + "hooks:\n  chat: {webhook: 'https://h/t0ken', headers: {A: {env: TOKEN}, B: {file: token}, C: t0ken}}\n"


def test_a_secret_is_resolved_at_use(workshop):
    hook = workshop.load(HOOK).hooks["chat"]
    (workshop.path / "token").write_text("t0ken\n")
    assert hook.webhook.resolve() == "https://h/t0ken"
    assert hook.headers["A"].resolve({"TOKEN": "t0ken"}) == "t0ken"
    assert hook.headers["B"].resolve() == "t0ken"
    (workshop.path / "token").write_text("rotated")
    assert hook.headers["B"].resolve() == "rotated"


def test_a_secret_is_never_shown(workshop):
    config = workshop.load(HOOK)
    assert "t0ken" not in repr(config)
    assert "t0ken" not in str(config)
    hook = config.hooks["chat"]
    shown = [str(hook.headers["A"]), repr(hook.headers["B"]), f"{hook.webhook}"]
    assert shown == ["<secret env:TOKEN>", f"<secret file:{workshop.path}/token>", "<secret>"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8 text"),
        (b"x" * 70_000, "is larger than 64 KiB"),
    ],
)
def test_a_file_without_a_secret(tmp_path, content, said):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        Secret(file=file, place="a.yaml: hooks.x.headers.A").resolve()
    assert (caught.value.code, caught.value.exit_code) == ("SL110", 78)
    assert caught.value.message.startswith("a.yaml: hooks.x.headers.A: the file ")


@pytest.mark.parametrize(("environ", "said"), [({}, "NAME is not set"), ({"NAME": ""}, "NAME is empty")])
def test_a_variable_without_a_secret(environ, said):
    with pytest.raises(ConfigError, match=said) as caught:
        Secret(env="NAME").resolve(environ)
    assert caught.value.message == f"the environment variable {said}"
