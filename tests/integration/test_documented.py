"""What the help and the pages tell to type is typed: each example of each command, and each block of the pages that no
other test follows.
"""

from __future__ import annotations

import grp
import json
import os
import re
from pathlib import Path

import pytest

from agent.cli.examples import _EXAMPLES
from agent.config.loader import load
from tests.integration.shop import Shop
from tests.needs import needs

pytestmark = [needs("jq", "zstd"), pytest.mark.timeout(300)]

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)

# Examples and lines of pages that are not typed here, and what does it instead.
ELSEWHERE = {
    "sidelog init --system": "tests/install/test_recipe.py",
    "sidelog remove --system": "tests/install/test_recipe.py",
    "sidelog remove --system --purge --yes": "tests/install/test_removal.py",
    "sidelog remove --system --dry-run": "tests/install/test_recipe.py",
    "sidelog roll-back": "tests/install/test_recipe.py",
    "sidelog roll-back --store /data/sidelog.db": "tests/install/test_upgrade.py",
    "sidelog roll-back -q": "tests/install/test_recipe.py",
    "sidelog version --check --url https://example.org/sidelog.json": "tests/cli/test_version.py",
    "sidelog forward schema": "tests/cli/test_forward_schema.py",
    "sidelog forward verify": "tests/fleet/test_verify.py",
    "sidelog forward backfill --since 2026-01-01": "tests/fleet/test_backfill.py",
    "sidelog forward schema --target http://ch1:8123 --replicated": "tests/cli/test_forward_schema.py",
    "sidelog forward schema --target central --cluster fleet --replicated": "tests/cli/test_forward_schema.py",
    "sidelog forward schema --print | less": "tests/cli/test_forward_schema.py",
    "sidelog forward backfill": "tests/fleet/test_backfill.py",
    "sidelog forward backfill --target central -S 2026-01-01 -U 2026-02-01": "tests/fleet/test_backfill.py",
    "sidelog forward backfill --json": "tests/fleet/test_backfill.py",
    "sidelog forward verify -S yesterday": "tests/fleet/test_verify.py",
    "sidelog forward verify --repair": "tests/fleet/test_verify.py",
    "sidelog forward verify --json | jq '.[].differences'": "tests/fleet/test_verify.py",
    "sidelog alerts run --engine central": "tests/alert/test_fleet.py",
    "sidelog alerts run --engine http://ch1:8123 --interval 30s": "tests/alert/test_fleet.py",
    "sidelog alerts run --name payments -c payments.yaml": "tests/alert/test_fleet.py",
    "sidelog selftest": "tests/cli/test_selftest.py",
    "sidelog selftest --seed 7 --json": "tests/cli/test_selftest.py",
    "sidelog selftest --kill9 100": "tests/cli/test_selftest.py",
    "systemctl enable --now sidelog-backup.timer": "tests/service/test_systemd_unit.py",
    "systemctl start sidelog-backup && journalctl -u sidelog-backup -n 5": "tests/service/test_systemd_unit.py",
    "systemctl status sidelog": "it prints what systemd has",
    "sidelog mcp": "tests/mcp/test_mcp.py",
    "sidelog mcp -c /etc/sidelog/sidelog.yaml": "tests/mcp/test_mcp.py",
    "sidelog mcp --store old.db": "tests/mcp/test_mcp.py",
    "sidelog token revoke ci": "tests/http/test_access.py",
    "sidelog token revoke ci -c /etc/sidelog/sidelog.yaml": "tests/http/test_access.py",
    "sidelog token revoke ci --store old.db": "tests/http/test_access.py",
    "sidelog token rotate-key --store old.db": "tests/http/test_access.py",
    "sidelog web": "tests/http/test_server_process.py",
    "sidelog web --listen 127.0.0.1:9881 --store old.db": "tests/http/test_server_process.py",
    "sidelog web --listen unix:/run/sidelog/web.sock": "tests/http/test_server_process.py",
    "journalctl -u sidelog -n 20": "it prints what systemd has",
}
# Pages, or blocks of one language in them, that other tests read and follow.
FOLLOWED = {
    ("api", "sh"): "tests/http/test_api_docs.py",
    ("benchmarks", "sh"): "tests/wiring/test_pages.py",
    ("configuration", "text"): "test_the_error_of_the_page_is_what_is_said",
    ("configuration", "yaml"): "tests/config/test_documented.py",
    ("disaster-recovery", "sh"): "tests/integration/test_operations.py",
    ("onboarding", "sh"): "tests/integration/test_operations.py",
    ("operations", "sh"): "tests/integration/test_operations.py",
    ("operations", "yaml"): "tests/integration/test_operations.py",
    ("patterns", "text"): "test_the_pattern_of_the_page_is_proposed",
    ("permissions", "console"): "tests/cli/test_check_service.py",
    ("permissions", "sh"): "tests/integration/test_team.py",
    ("reference", "sh"): "test_each_example_does_what_it_says",
    ("service", "sh"): "tests/install/test_recipe.py",
    ("shell", "console"): "tests/cli/test_completion.py",
    ("troubleshooting", "sh"): "tests/integration/test_operations.py",
    ("administration", "sh"): "tests/integration/test_operations.py",
    ("runbook", "sh"): "tests/integration/test_operations.py",
    ("fleet", "console"): "tests/fleet/test_documented.py",
    ("fleet", "sh"): "tests/fleet/test_documented.py",
    ("fleet", "xml"): "tests/fleet/test_documented.py",
    ("fleet", "yaml"): "tests/fleet/test_documented.py",
    ("mcp", "json"): "tests/http/test_web_docs.py",
    ("web", "caddy"): "tests/http/test_proxies.py",
    ("web", "console"): "tests/http/test_web_docs.py",
    ("web", "nginx"): "tests/http/test_proxies.py",
    ("web", "sh"): "tests/http/test_web_docs.py",
    ("web", "yml"): "tests/http/test_monitoring.py",
}


@pytest.fixture(scope="module")
def kept():
    """What is made once and used by all tests of a process."""
    return {}


@pytest.fixture
def shop(kept, tmp_path_factory, capfd):
    if "shop" not in kept:
        kept["shop"] = Shop(tmp_path_factory.mktemp("shop"), capfd)
    kept["shop"].take_over(capfd)
    kept["shop"].directory()
    return kept["shop"]


def prepare(shop, path, line):
    """What an example takes for granted."""
    shop.directory()
    if path == "run":
        (shop.cwd / "sidelog.yaml").write_text(
            shop.own("store: {path: s.db}\nsources: [{name: a, include: [shop.log]}]\n")
        )
    if path == "restore":
        shop.keep_a_store("/backup/sidelog.db")
        shop.sh(shop.own("sidelog backup /var/backups/sidelog --keep 7"))
        shop.lose("/data/sidelog.db")
        if not {"--force", "--store"} & {*line.split()}:
            shop.lose("/var/lib/sidelog/sidelog.db")
    elif path == "backup":
        shop.lose("/backup/sidelog.db")
    elif "/data/sidelog.db" in line:
        shop.keep_a_store("/data/sidelog.db")
    if path == "alerts redeliver":
        shop.fail_a_page()


@pytest.mark.parametrize("path", _EXAMPLES)
def test_each_example_does_what_it_says(shop, path):
    for line, _ in _EXAMPLES[path]:
        if line not in ELSEWHERE:
            prepare(shop, path, line)
            shop.type(line)


def blocks():
    for page in sorted(DOCS.glob("*.md")):
        for number, (_, language, text) in enumerate(BLOCK.findall(page.read_text()), 1):
            if language and (page.stem, language) not in FOLLOWED:
                yield pytest.param(page.stem, language, text, id=f"{page.stem}-{number}-{language}")


def lines(language, text):
    """What is to be typed."""
    rows = [row.strip() for row in text.splitlines()]
    if language == "console":
        rows = [row.removeprefix("$ ") for row in rows if row.startswith("$ ")]
    return [row.partition("  #")[0].strip() for row in rows]


def shown(text):
    """A pattern for what a page shows, in which `…` leaves something out."""
    return ".*".join(re.escape(part.strip()) for part in text.split("…"))


def test_the_error_of_the_page_is_what_is_said(shop):
    text = (DOCS / "configuration.md").read_text().split("```text\n")[1].split("```")[0]
    config = shop.path("/etc/sidelog/sidelog.yaml")
    before = config.read_text()
    config.write_text("# of the\n# page\n\n\nsources:\n  - name: shop\n    inclde: [x]\n    include: [x]\n")
    done = shop.here(["query"])
    config.write_text(before)
    assert re.search(shown(text), done[2].replace(str(shop.root), ""), re.DOTALL), done[2]


def test_what_cannot_match_is_told_as_the_page_shows(shop):
    text = (DOCS / "query.md").read_text().split("```console\n$ sidelog query -s shp 'levl=error'\n")[1].split("```")[0]
    code, out, err = shop.here(["query", "-s", "shp", "levl=error"])
    assert (code, out) == (0, "")
    assert re.sub(r"newest \d+ events", "newest 1,000 events", err) == text


def test_the_pattern_of_the_page_is_proposed(shop):
    looked, proposed = re.findall(r"```text\n(.*?)```", (DOCS / "patterns.md").read_text(), re.DOTALL)
    rows = [f"till-{n % 3} # {'WARN' if n % 2 else 'INFO'} # 22/11/2026 05:{n // 60 % 60:02}:{n % 60:02} # drawer {n}"
            for n in range(1199)]  # fmt: skip
    first = "till-0 # WARN # 22/11/2026 05:39:00 # drawer 0 is stuck"
    (shop.cwd / "till.log").write_text("\n".join([first, *rows]) + "\n")
    command, *said = looked.splitlines()
    out = shop.sh(command.removeprefix("$ "))
    assert re.search(shown("\n".join(said)), out, re.DOTALL), out
    assert re.search(shown(proposed), out, re.DOTALL), out


def test_what_is_left_to_another_test_is_there():
    root = DOCS.parent
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert [line for line in ELSEWHERE if line not in pages] == []
    languages = {(page.stem, found[1]) for page in DOCS.glob("*.md") for found in BLOCK.findall(page.read_text())}
    assert set(FOLLOWED) <= languages
    for name in {*ELSEWHERE.values(), *FOLLOWED.values()}:
        assert (root / name).is_file() or name in globals() or " " in name, name


@pytest.mark.parametrize(("page", "language", "text"), [*blocks()])
def test_each_block_of_a_page_can_be_used(shop, tmp_path, page, language, text):
    if language == "yaml":
        own_hooks = "" if re.search("^hooks:", text, re.MULTILINE) else "\nhooks: {page: {exec: [/bin/true]}}\n"
        group = grp.getgrgid(os.getgid()).gr_name
        (tmp_path / "sidelog.yaml").write_text(text.replace("group: logreaders", f"group: {group}") + own_hooks)
        load(tmp_path / "sidelog.yaml", environ={})
    elif language == "ini":  # a drop-in that comes along, which tests/service/test_systemd_unit.py verifies
        name, *rows = text.splitlines()
        shipped = (DOCS.parent / "systemd/examples" / name.rpartition("/")[2]).read_text().splitlines()
        assert rows == [row for row in shipped if not row.startswith("#")]
    elif language == "json":
        shop.sh("sidelog alerts send-test page")
        real = json.loads(shop.path("page.json").read_text())
        as_shown = json.loads(text)
        assert set(as_shown) == set(real) - {"test"}
        assert set(as_shown["groups"][0]) == set(real["groups"][0])
    elif text.startswith("#!"):
        hook = shop.path("/etc/sidelog/hooks/page.sh")
        before = hook.read_text()
        hook.write_text(shop.own(text))
        shop.sh("sidelog alerts send-test page")
        hook.write_text(before)
    else:
        assert language in ("sh", "console")
        for line in lines(language, text):
            if line not in ELSEWHERE:
                shop.type(line)
