"""The pages for people lead where they say, and what they list is all that there is."""

import re
import typing
from pathlib import Path

import msgspec
import pytest

from agent.config.loader import load
from agent.config.schema import Config
from agent.core.errors import ConfigError
from tests.reference_page import keys

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TEMPLATE = ROOT / "etc/sidelog.default"


def anchors(page):
    """The headings, as links name them."""
    text = re.sub(r"^```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(place), f"{page.name}: {target}"


def code_of(page):
    """What stands as code on a page: blocks and words in backquotes."""
    text = page.read_text()
    found = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [line for block in found for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", text)


def test_tools_of_the_checkout_that_pages_name_are_there():
    """`make TARGET`, and `python -m MODULE` with options of its own."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = [line for page in PAGES for line in code_of(page)]
    named = {name for line in found for name in re.findall(r"^\$? ?make ([a-z-]+)", line)}
    assert named - targets == set()
    commands = [command for line in found for command in re.findall(r"python -m ((?:benchmarks|tests)\b[^|#]*)", line)]
    assert len(commands) > 20
    for command in commands:
        module, *words = command.split()
        file = ROOT / f"{module.replace('.', '/')}.py"
        sources = [file if file.exists() else file.with_suffix("") / "__main__.py", ROOT / "benchmarks/common.py"]
        if module == "benchmarks" and words:
            sources += [ROOT / "benchmarks" / f"{word.replace('-', '_')}.py" for word in words[:1]]
        text = "".join(source.read_text() for source in sources)
        assert [word for word in words if word.startswith("--") and f'"{word}"' not in text] == [], command


def test_keys_that_pages_name_are_there():
    """`store.retention.age: 30d`, in words and in the long texts of errors."""
    known = {re.sub(r"\[\]|\.NAME", "", key.path) for key in keys(Config)}
    found = set()
    for page in [*PAGES, *(ROOT / "agent/explain").glob("*.md")]:
        for line in code_of(page):
            found |= set(re.findall(r"^((?:store|archive|sources|alerts|hooks)\.[a-z_.]*[a-z_])(?=$|: | )", line))
    assert len(found) > 20
    symbols = {name for name in found if (ROOT / "agent" / name.split(".")[0]).is_dir() and "." in name}
    assert found - known - {name for name in symbols if is_symbol(name)} == set()

    text = "".join(page.read_text() for page in PAGES if page.name != "reference.md")  # that is made of the schema
    variables = re.findall(r"\bSIDELOG_([A-Z_]+__[A-Z_]+)\b", text)
    assert {name.lower().replace("__", ".") for name in variables} - known == set()


def is_symbol(name):
    """Whether it is a module of the code, or a name in one: `store.tables.save_groups`."""
    *above, last = name.split(".")
    module = ROOT / "agent" / "/".join(above)
    if (module / f"{last}.py").exists() or (module / last).is_dir():
        return True
    file = next((one for one in (module.with_suffix(".py"), module / "__init__.py") if one.exists()), None)
    return file is not None and re.search(rf"\b{last}\b", file.read_text()) is not None


def test_the_runbook_has_every_code_of_a_running_agent():
    """Those of its configuration `check` says, those of a query the query."""
    codes = re.findall(r"^\| (SL\d+) \|", (ROOT / "docs/codes.md").read_text(), re.MULTILINE)
    of_commands = {"SL421", "SL710", "SL711", "SL712", "SL713", "SL714", "SL801", "SL808", "SL810"}
    of_commands |= {f"SL62{number}" for number in range(6)} | {"SL656", "SL657", "SL664"}
    wanted = {code for code in codes if code[2] in "234678" or code == "SL999"} - of_commands
    wanted |= {"SL110", "SL552", "SL553", "SL554", "SL557", "SL559"}  # of a hook's secret; of the nightly backup
    assert wanted - {*re.findall(r"SL\d{3}", (ROOT / "docs/runbook.md").read_text())} == set()


def environment():
    """The variables of the template, with their values."""
    return dict(re.findall(r"^#([A-Z]\w*)=(.*)$", TEMPLATE.read_text(), re.MULTILINE))


def test_the_environments_template_is_a_valid_one(tmp_path, monkeypatch):
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "sidelog.yaml"
    file.write_text("hooks: {chat: {webhook: {env: CHAT_URL}, headers: {Authorization: {env: CHAT_TOKEN}}}}\n")
    config = load(file)
    assert str(config.store.path) == environment()["SIDELOG_STORE__PATH"]
    assert config.archive is not None
    assert config.archive.retention.event_age == 30 * 86_400
    hook = config.hooks["chat"]
    assert hook.webhook is not None
    assert hook.webhook.resolve() == environment()["CHAT_URL"]
    assert hook.headers["Authorization"].resolve_header() == environment()["CHAT_TOKEN"]


def variables(struct, above="SIDELOG"):
    """The variables of what is neither in a list nor under a name that a person gives, with their defaults."""
    for field in msgspec.structs.fields(struct):
        name = f"{above}__{field.encode_name.upper()}".replace("SIDELOG__", "SIDELOG_")
        parts = [part for part in (field.type, *typing.get_args(field.type)) if isinstance(part, type)]
        inner = [part for part in parts if issubclass(part, msgspec.Struct)]
        if typing.get_origin(field.type) in (list, dict):
            continue
        if inner:
            yield from variables(inner[0], name)
        elif above != "SIDELOG":
            yield name, field.default


def test_the_environments_template_has_every_variable_with_its_default(monkeypatch):
    """But those of the HTTP side and of an engine. The values that have no default of their own are examples."""
    left_out = ("SIDELOG_HTTP", "SIDELOG_ENGINE")
    known = {name: default for name, default in variables(Config) if not name.startswith(left_out)}
    said = {name: value for name, value in environment().items() if name.startswith("SIDELOG_")}
    assert said.keys() - {"SIDELOG_CONFIG"} == known.keys()
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    config = load(None)
    examples = {"SIDELOG_STORE__PATH", "SIDELOG_ARCHIVE__DIRECTORY", "SIDELOG_ARCHIVE__RETENTION__EVENT_AGE"}
    for name, default in known.items():
        value = config
        for part in name.removeprefix("SIDELOG_").lower().split("__"):
            value = getattr(value, part)
        assert (value == default) == (name not in examples), name


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("SIDELOG_STORE__PATHS", "/x", "SL103"), ("SIDELOG_STORE__MIN_FREE", "much", "SL104")],
)
def test_a_mistake_in_the_environment_is_named(monkeypatch, name, value, code):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load(None)
    found = getattr(caught.value, "findings", [caught.value])
    assert [(one.code, name in one.subject) for one in found] == [(code, True)]
