"""The hooks of etc/hooks, run as the agent runs them, with the document that `alerts send-test` makes."""

import asyncio
import base64
import json
import shutil
from pathlib import Path

import pytest

from agent.alert.document import example
from agent.hooks import program
from tests.hooks.test_dispatch import receiver  # noqa: F401  a fixture
from tests.needs import needs

HOOKS = Path(__file__).parents[2] / "etc/hooks"

pytestmark = needs("jq")


def ran(folder, name, *arguments, commands=(), **changes):
    """Run a copy of a hook; `commands` stand in for programs that this machine may not have, and note their input."""
    hook = folder / name
    shutil.copy(HOOKS / name, hook)
    hook.chmod(0o700)
    for command in commands:
        stand_in = folder / command
        stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/{command}.args\ncat > {folder}/{command}.in\n')
        stand_in.chmod(0o700)
    document = json.dumps({**json.loads(example("page")), **changes})
    env = program.environment(json.loads(document))
    env["PATH"] = f"{folder}:{env['PATH']}"
    result = asyncio.run(program.run([str(hook), *arguments], document.encode(), env, 20.0))
    assert (result.said, result.output) == ("exit 0", "")


def test_mail_has_the_summary_as_its_subject_and_the_lines_in_it(tmp_path):
    nasty = 'x"; touch /tmp/trap\nBcc: all@example.com'
    ran(tmp_path, "mail.sh", "me@example.com", commands=["sendmail"], summary=nasty, severity="critical")
    head, body = (tmp_path / "sendmail.in").read_text().split("\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert fields["To"] == "me@example.com"
    assert "Bcc" not in fields
    subject = base64.b64decode(fields["Subject"].removeprefix("=?UTF-8?B?").removesuffix("?=")).decode()
    assert subject.startswith('[critical] x"; touch /tmp/trap Bcc:')
    assert "this is a test of the hook page" in body
    assert "sidelog query --since" in body


def test_slack_gets_a_text_without_markup_of_its_own(tmp_path, receiver):  # noqa: F811
    url = tmp_path / "url"
    url.write_text(f"http://127.0.0.1:{receiver.server_address[1]}/200\n")
    ran(tmp_path, "slack.sh", str(url), summary="a <b> & c")
    ((_, headers, body),) = receiver.got
    assert headers["Content-Type"] == "application/json"
    text = json.loads(body)["text"]
    assert "*a &lt;b&gt; &amp; c*" in text
    assert "\n> this is a test of the hook page" in text


def test_slack_says_which_file_it_lacks(tmp_path):
    hook = tmp_path / "slack.sh"
    shutil.copy(HOOKS / "slack.sh", hook)
    env = program.environment(json.loads(example("page")))
    result = asyncio.run(program.run([str(hook), "/no/such/url"], example("page").encode(), env, 20.0))
    assert (result.ok, "/no/such/url" in result.output, "curl" in result.output) == (False, True, False)


def test_the_desktop_shows_the_summary(tmp_path):
    ran(tmp_path, "desktop.sh", commands=["notify-send"], severity="critical", summary="-x <b>")
    arguments = (tmp_path / "notify-send.args").read_text().splitlines()
    assert arguments == ["--app-name=sidelog", "--urgency=critical", "--", "-x <b>", "this is a test of the hook page"]


@pytest.mark.parametrize(("state", "restarts"), [("firing", True), ("repeat", False), ("resolved", False)])
def test_a_unit_is_restarted_when_an_alert_fires_and_only_then(tmp_path, state, restarts):
    ran(tmp_path, "restart-unit.sh", "shop.service", commands=["systemctl"], state=state)
    called = tmp_path / "systemctl.args"
    assert called.exists() == restarts
    if restarts:
        assert called.read_text().split() == ["--no-ask-password", "restart", "--", "shop.service"]
