"""What docs/web.md and docs/mcp.md tell to type works, line by line."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path

from agent.cli.main import cli
from tests.integration.harness import wait_until
from tests.needs import ROOT, needs

WEB, MCP = ((ROOT / "docs" / name).read_text() for name in ("web.md", "mcp.md"))


def blocks(language: str, page: str = WEB) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@needs("curl")
def test_each_command_of_the_page(box):
    box.log.write_text("")
    box.serve()
    token = box.token(name="mine")
    typed = [
        line.removeprefix("$ ").partition("  #")[0].strip() for text in blocks("console") for line in text.splitlines()
    ]
    assert len(typed) == 7
    for line in typed:
        if line == "systemctl reload sidelog":
            box.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "configuration reloaded" in box.stderr.read_text(), what="the reload")
        elif line.startswith("sidelog "):
            assert box.run(*shlex.split(line)[1:]).returncode == 0, line
        else:
            own = line.replace("$TOKEN", token).replace("http://127.0.0.1:9880", box.base)
            done = subprocess.run(
                [*shlex.split(own), "--fail", "--silent"], capture_output=True, check=False, timeout=60
            )
            assert done.returncode == 0, done.stderr


def test_the_hook_of_certbot_copies_both_files_and_reloads(tmp_path):
    [hook] = [text for text in blocks("sh") if text.startswith("#!")]
    lineage, bin_ = tmp_path / "live", tmp_path / "bin"
    for folder in (lineage, bin_):
        folder.mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (lineage / name).write_text(name)
    (bin_ / "systemctl").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/told\n')
    (bin_ / "systemctl").chmod(0o755)
    own = hook.replace("/etc/sidelog", str(tmp_path / "etc")).replace("-o root -g sidelog ", "")
    environment = {"PATH": f"{bin_}:/usr/bin:/bin", "RENEWED_LINEAGE": str(lineage)}
    subprocess.run(["sh", "-eu", "-c", own], env=environment, check=True, timeout=60)
    made = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "etc/tls").iterdir()}
    assert made == {"fullchain.pem": "0o640", "privkey.pem": "0o640"}
    assert (tmp_path / "told").read_text() == "reload sidelog\n"


def test_the_configuration_for_mcp_names_a_command_that_is_there():
    [text] = blocks("json", MCP)
    [server] = json.loads(text)["mcpServers"].values()
    assert server["command"] == "sidelog"
    assert server["args"][0] in cli.list_commands(None)
    assert Path(server["args"][2]).is_absolute()
