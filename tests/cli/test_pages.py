"""The pages that are made of the commands and the schema are as `make docs` writes them, and man takes its own."""

import re
import shlex
import subprocess
import tomllib

import pytest

from agent.cli import query
from agent.query.language import parse_terms
from tests import manual_pages, reference_page
from tests.command_tree import entries
from tests.needs import needs

ENTRIES = list(entries())
ROOT = reference_page.DOCS.parent
CARD = reference_page.DOCS / "card.md"


def test_the_reference_is_what_the_code_makes_of_it():
    assert reference_page.PAGE.read_text() == reference_page.page(), "make docs"


def test_the_manual_pages_are_what_the_help_makes_of_them():
    found = {page.name: page.read_text() for page in manual_pages.FOLDER.iterdir()}
    assert found == manual_pages.pages(), "make docs"


def test_the_reference_has_every_command_option_rule_and_key():
    page = reference_page.page()
    for entry in ENTRIES:
        assert f"\n### {entry.line}\n" in page
        assert all(names.replace("|", "\\|") in page for names, _ in entry.options)
    headed = set(re.findall(r"^#### (.*)$", page, re.MULTILINE))
    sections = {key.path for key in reference_page.keys(reference_page.Config) if key.kind == "mapping"}
    assert {key.path for key in reference_page.keys(reference_page.Config)} - sections - headed <= {
        "sources", "archive", "alerts", "hooks", "http", "forward", "engine",
        *(f"alerts[].when.{name}" for name in (*reference_page.WHEN_FORMS, "min")),
    }  # fmt: skip
    assert all(f"\n### when: {form}\n" in page for form in reference_page.WHEN_FORMS)


def test_each_command_has_its_manual_page():
    names = {entry.path.split()[0] for entry in ENTRIES if entry.path}
    assert set(manual_pages.pages()) == {"sidelog.1", *(f"sidelog-{name}.1" for name in names)}


@needs("groff")
@pytest.mark.parametrize("name", ["sidelog.1", "sidelog-query.1"])
def test_a_manual_page_shows_what_is_typed_as_it_is_typed(name):
    page = manual_pages.FOLDER / name
    shown = subprocess.run(["groff", "-man", "-Tutf8", "-P-c", page], capture_output=True, text=True, check=True).stdout
    plain = re.sub(r".\x08", "", shown)
    own = [entry for entry in ENTRIES if name == f"sidelog-{entry.path.partition(' ')[0]}.1".replace("-.", ".")]
    assert own
    for entry in own:
        assert all(line in plain for line, _ in entry.examples)


@needs("groff")
def test_groff_has_nothing_to_say():
    pages = sorted(manual_pages.FOLDER.glob("*.1"))
    done = subprocess.run(["groff", "-ww", "-man", "-Tutf8", "-z", *pages], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@needs("mandoc")
def test_mandoc_has_nothing_to_say():
    pages = sorted(manual_pages.FOLDER.glob("*.1"))
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_what_begins_like_a_request_is_text():
    assert manual_pages.literal(".sh 'x'") == r"\&.sh \(aqx\(aq"
    assert manual_pages.prose("'tis `--a-b` of well-known -x and ×\\") == (
        r"\(aqtis \fB\-\-a\-b\fR of well-known \-x and \[u00D7]\e"
    )


def test_each_line_of_the_card_is_understood():
    terms, options = (part.split("\n\n")[0] for part in CARD.read_text().split("|---|---|\n")[1:])
    rows = [row.split(" | ")[0] for row in terms.splitlines()]
    assert len(rows) > 12
    for row in rows:
        assert parse_terms(shlex.split(row.strip("| `"))).terms, row
    shown = re.findall(r"`(-[^`]*)`", options)
    assert len(shown) > 20
    for text in shown:
        rest = ["--by", "service"] if text.startswith("--agg") else []
        with query.command.make_context("query", [*shlex.split(text), *rest]) as context:
            assert query.understand(context.params, 1_790_000_000_000_000_000), text
    assert len(CARD.read_text().splitlines()) <= 60, "a page"


def test_a_wheel_brings_pages_and_scripts_to_where_they_are_looked_for():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["etc/completion"] == "agent/_share/etc/completion"
    assert wheel["shared-data"] == {
        "docs/man": "share/man/man1",
        "etc/completion/sidelog.bash": "share/bash-completion/completions/sidelog",
        "etc/completion/_sidelog": "share/zsh/site-functions/_sidelog",
        "etc/completion/sidelog.fish": "share/fish/vendor_completions.d/sidelog.fish",
    }
    assert all((ROOT / name).exists() for name in wheel["shared-data"])
