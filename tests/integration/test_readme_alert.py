"""The README's rule and hook, copied into an empty directory: one page with the lines in it, and one "resolved"."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import SIDELOG, append, wait_until

README = Path(__file__).parents[2] / "README.md"
LINE = b'{"level":"error","message":"payment failed"}\n'


def block(text, language):
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1]


@pytest.fixture
def copied(tmp_path):
    """The directory of somebody who has read the section on alerts; the window is shorter, for the test to end."""
    section = README.read_text().split("\n## Alerts\n")[1].split("\n## ")[0]
    config = block(section, "yaml")
    assert "window: 1m " in config
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    (home / "sidelog.yaml").write_text(config.replace("window: 1m ", "window: 3s "))
    (home / "page.sh").write_text(block(section, "sh"))
    (home / "page.sh").chmod(0o755)
    assert LINE.decode().strip() in section
    return home


def test_the_first_page_of_a_new_user_has_the_lines_and_is_resolved_once(box, copied):
    done = subprocess.run([*SIDELOG, "check"], cwd=copied, env=box.env, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()
    pages = copied / "pages.txt"

    def said():
        return pages.read_text().splitlines() if pages.exists() else []

    with (copied / "agent.err").open("wb") as err:
        box.process = subprocess.Popen(
            [*SIDELOG, "run"], cwd=copied, env=box.env, stdin=subprocess.DEVNULL, stderr=err, start_new_session=True
        )
    wait_until(lambda: b"agent started" in (copied / "agent.err").read_bytes(), 30)
    for _ in range(7):
        append(copied / "logs" / "app.log", LINE)
    wait_until(lambda: len(said()) >= 2, 30, "the page")
    wait_until(lambda: len(said()) >= 4, 30, "the end of it")
    assert said()[0] == "firing error-rate: 5 of 5"
    page, over = (json.loads(line) for line in said() if line.startswith("{"))
    assert [event["body"] for event in page["events"]] == ["payment failed"] * 5
    assert page["groups"][0]["title"] == "payment failed"
    assert (over["state"], over["started_at"]) == ("resolved", page["started_at"])
    assert said()[2].startswith("resolved error-rate: ")
    assert box.stop() == 0
    assert len(said()) == 4
