"""Where values come from and which one wins; patterns without a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.config import InvalidConfigError, drop_ins, find_file, for_patterns, load, with_store
from agent.config.schema import default_store_path
from agent.core.errors import ConfigError, UsageError
from tests.config.conftest import GOOD


def test_without_a_file_there_are_defaults():
    config = load(None, environ={"HOME": "/home/ann"})
    assert (config.sources, config.archive, config.alerts, config.hooks, config.http) == ([], None, [], {}, None)
    assert config.store.path == default_store_path({"HOME": "/home/ann"})
    assert (config.store.flush_interval, config.store.min_free) == (0.25, 256 * 2**20)
    assert (config.store.retention.age, config.store.retention.size) == (7 * 86_400, 2 * 2**30)


def test_the_default_store_is_the_users_own(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_store_path({"HOME": "/home/ann"}) == Path("/home/ann/.local/state/sidelog/sidelog.db")
    assert default_store_path({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/sidelog/sidelog.db")
    assert default_store_path({"XDG_STATE_HOME": "relative", "HOME": "/h"}) == Path(
        "/h/.local/state/sidelog/sidelog.db"
    )
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_store_path({"HOME": "/root"}) == Path("/var/lib/sidelog/sidelog.db")


@pytest.mark.parametrize("given", ["/var/lib/sidelog", "/srv/state:/srv/more"])
def test_the_service_has_its_store_where_systemd_says(given, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    environ = {"STATE_DIRECTORY": given, "HOME": "/home/ann", "XDG_STATE_HOME": "/s"}
    assert default_store_path(environ) == Path(given.partition(":")[0]) / "sidelog.db"
    assert default_store_path({"STATE_DIRECTORY": "relative", "XDG_STATE_HOME": "/s"}) == Path("/s/sidelog/sidelog.db")


def test_the_user_of_the_service_has_its_store_also_without_systemd(monkeypatch):
    """`runuser -u sidelog -- sidelog status` leaves HOME at that of root."""
    lives = type("Entry", (), {"pw_dir": "/var/lib/sidelog"})
    monkeypatch.setattr("os.geteuid", lambda: 999)
    monkeypatch.setattr("pwd.getpwuid", lambda _: lives)
    assert default_store_path({"HOME": "/root"}) == Path("/var/lib/sidelog/sidelog.db")

    def nobody(_):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert default_store_path({"HOME": "/h"}) == Path("/h/.local/state/sidelog/sidelog.db")


def test_each_layer_wins_over_the_one_before(workshop):
    workshop.write(GOOD + "store: {path: /file.db, flush_interval: 1s}\n")
    assert workshop.load().store.path == Path("/file.db")
    workshop.write("store: {path: /b.db}\n", "conf.d/20.yaml")
    workshop.write("store: {path: /a.db}\n", "conf.d/10.yaml")
    assert workshop.load().store.path == Path("/b.db")
    assert workshop.load().store.flush_interval == 1, "what a later file does not say stays"
    assert workshop.load(SIDELOG_STORE__PATH="/env.db").store.path == Path("/env.db")
    assert workshop.load(sets=["store.path=/set.db"], SIDELOG_STORE__PATH="/env.db").store.path == Path("/set.db")
    assert workshop.load(sets=["store.path=/set.db"], store=Path("/given.db")).store.path == Path("/given.db")


def test_drop_ins_add_sources_and_rules_and_merge_hooks(workshop):
    rule = "{name: %s, match: x, when: {count: 1}, hooks: [page, more]}"
    workshop.write(GOOD + f"alerts: [{rule % 'a'}]\nhooks: {{page: {{exec: [/bin/a], retries: 1}}}}\n")
    source = "sources: [{name: more, include: [x.log]}]\n"
    workshop.write(
        source + f"alerts: [{rule % 'b'}]\nhooks: {{more: {{exec: [b/c]}}, page: {{retries: 2}}}}\n", "conf.d/a.yaml"
    )
    workshop.write("not: read", "conf.d/.hidden.yaml")
    workshop.write("not: read", "conf.d/backup.yaml~")
    config = workshop.load()
    assert [source.name for source in config.sources] == ["app", "more"]
    assert config.sources[1].include == [f"{workshop.path}/x.log"], "relative to the main file's directory"
    assert [rule.name for rule in config.alerts] == ["a", "b"]
    assert (config.hooks["page"].exec, config.hooks["page"].retries) == (["/bin/a"], 2)
    assert config.hooks["more"].exec == [f"{workshop.path}/b/c"]
    assert [file.name for file in drop_ins(workshop.file)] == ["a.yaml"]


def test_a_drop_in_may_bring_the_first_source(workshop):
    workshop.write("sources:\n# none\n")
    workshop.write(GOOD, "conf.d/a.yaml")
    assert [source.name for source in workshop.load().sources] == ["app"]


def test_a_finding_names_the_file_that_it_is_in(workshop):
    workshop.write(GOOD)
    workshop.write("\nsources:\n  - name: app\n    inclde: [x]\n    include: [y]\n", "conf.d/a.yaml")
    found = workshop.findings()
    assert found[0][1].startswith("conf.d/a.yaml:4: sources[0].inclde: unknown key 'inclde', did you mean 'include'?")
    assert found[1][1] == (
        "conf.d/a.yaml:3: sources[0].name: the name 'app' is taken by sidelog.yaml:2: sources[0].name"
    )


def test_the_environment_reaches_into_lists_and_ignores_what_is_not_meant(workshop):
    config = workshop.load(
        GOOD,
        SIDELOG_SOURCES__0__EXCLUDE="['*.tmp', b]",
        SIDELOG_SOURCES__1__NAME="2",
        SIDELOG_SOURCES__1__INCLUDE="[/x]",
        SIDELOG_HTTP="{listen: ':80', behind_proxy: true}",
        SIDELOG_ARCHIVE__DELETE_SOURCE="no",
        SIDELOG_ARCHIVE__LEVEL="7",
        SIDELOG_CONFIG="/elsewhere",
        SIDELOG_RULE="r",
        SIDELOG_STATE="firing",
        SIDELOG_KEY="{}",
        SIDELOG_DELIVERY_ID="1",
        SIDELOG_PORT="tcp://10.0.0.1:80",
    )
    assert (config.sources[0].exclude, config.sources[1].name, config.sources[1].include) == (
        ["*.tmp", "b"],
        "2",
        ["/x"],
    )
    assert config.http is not None
    assert config.http.listen == ":80"
    assert config.archive is not None
    assert (config.archive.delete_source, config.archive.level) == (False, 7)


def test_set_reaches_keys_with_dots_and_takes_null(workshop):
    sets = ['sources[0].labels."service.name"=shop', "sources.0.labels.rank=7", "store.retention.age=null"]
    config = workshop.load(GOOD, sets=[*sets, "store.retention.size=", "http=null", "sources[0].start= 'end' "])
    assert config.sources[0].labels == {"service.name": "shop", "rank": "7"}
    assert (config.store.retention.age, config.store.retention.size, config.sources[0].start) == (None, None, "end")


@pytest.mark.parametrize("assignment", ["store.path", "=x", "store..path=x", "[0]=x", "a b=x", ""])
def test_an_override_that_is_no_assignment_is_wrong_usage(workshop, assignment):
    with pytest.raises(UsageError, match="is not KEY=VALUE"):
        workshop.load(GOOD, sets=[assignment])


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("store.pth=/x", "--set: store.pth: unknown key 'pth', did you mean 'path'?"),
        ("store[0]=x", "--set: store: a list is not a mapping"),
        ("sources[2].name=x", "--set: sources[2].name: there is no element 2 to set"),
        ("sources[0].include[0][1]=x", "--set: sources[0].include[0][1]: 1 leads into a plain value"),
        ("store.path.deeper=x", "--set: store.path: a mapping is not a text"),
        ("store.flush_interval=soon", "--set: store.flush_interval: 'soon' is not a duration"),
        ("archive.level=high", "--set: archive.level: 'high' is not a whole number"),
        ("sources[0].include=/x", "--set: sources[0].include: '/x' is not a list"),
        ("sources[0].include=[/x", "--set sources[0].include: the value is not valid YAML"),
    ],
)
def test_a_wrong_override_is_named(workshop, assignment, said):
    with pytest.raises(ConfigError) as caught:
        workshop.load(GOOD, sets=[assignment])
    assert caught.value.exit_code == 78
    assert caught.value.message.startswith(said)


NO_TEXT, NOTHING = "write a text, or leave the key out", "write one behind the ':'"


@pytest.mark.parametrize(("value", "hint"), [("", NOTHING), ("null", NOTHING), ("[a]", NO_TEXT), ("{a: 1}", NO_TEXT)])
def test_what_would_be_no_better_in_quotes_is_not_to_be_quoted(workshop, value, hint):
    """An empty variable, above all."""
    with pytest.raises(ConfigError, match=r"SIDELOG_STORE__PATH: store\.path: .* is not a text") as caught:
        workshop.load(GOOD, SIDELOG_STORE__PATH=value)
    assert caught.value.hint.startswith(hint)


def test_an_unknown_nested_variable_is_an_unknown_key(workshop):
    found = workshop.findings(GOOD, SIDELOG_STOER__PATH="/x")
    assert found[0][1] == "SIDELOG_STOER__PATH: stoer: unknown key 'stoer', did you mean 'store'?"


def test_paths_begin_where_they_were_written(workshop, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    source = "{name: a, include: [logs/*.log, '~/b'], exclude: ['*.tmp', old/*, '*/old/*']}"
    text = f"store: {{path: ./s/../x.db}}\nsources: [{source}]\n"
    config = workshop.load(text)
    assert config.store.path == tmp_path / "x.db"
    assert config.sources[0].include == [f"{tmp_path}/logs/*.log", "/home/ann/b"]
    assert config.sources[0].exclude == ["*.tmp", f"{tmp_path}/old/*", "*/old/*"]
    assert workshop.load(text, SIDELOG_STORE__PATH="y.db").store.path == elsewhere / "y.db"
    assert workshop.load(text, store=Path("z.db")).store.path == elsewhere / "z.db"
    assert with_store(config, Path("w.db")).store.path == elsewhere / "w.db"


def test_the_file_is_found_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agent.config.loader.SYSTEM_FILE", tmp_path / "etc.yaml")
    assert find_file(None, {}) is None
    (tmp_path / "etc.yaml").touch()
    assert find_file(None, {}) == tmp_path / "etc.yaml"
    (tmp_path / "sidelog.yaml").touch()
    assert find_file(None, {}) == tmp_path / "sidelog.yaml"
    assert find_file(None, {"SIDELOG_CONFIG": "absent.yaml"}) == tmp_path / "absent.yaml"
    assert find_file(Path("chosen.yaml"), {"SIDELOG_CONFIG": "absent.yaml"}) == tmp_path / "chosen.yaml"


def test_a_named_file_must_exist(workshop):
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read") as caught:
        workshop.load(name="absent.yaml")
    assert caught.value.exit_code == 78


def test_sections_without_content_are_defaults(workshop):
    config = workshop.load("store:\nsources:\nalerts:\nhooks:\narchive:\nhttp:\n")
    assert (config.sources, config.alerts, config.hooks, config.archive, config.http) == ([], [], {}, None, None)
    assert config.store.min_free == 256 * 2**20


def test_several_findings_speak_with_the_voice_of_the_first():
    first = ConfigError("SL104", "read", "a: b", "a: b: is bad", hint="do better")
    error = InvalidConfigError([first, ConfigError("SL103", "read", "a: c", "a: c: is worse")])
    assert (error.code, error.subject, str(error), error.hint) == ("SL104", "a: b", "a: b: is bad", "do better")
    assert len(error.findings) == 2


def test_patterns_make_a_source_per_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app dir").mkdir()
    patterns = [
        "/var/log/shop/*.log",
        "/var/log/shop/*.json",
        "/srv/shop/x.log",
        "/srv/*/shop/a.log",
        "app dir/*",
        "/*.log",
    ]
    config = for_patterns(patterns, Path("s.db"), {"HOME": "/home/ann"})
    assert {source.name: source.include for source in config.sources} == {
        "shop": ["/var/log/shop/*.log", "/var/log/shop/*.json"],
        "shop-2": ["/srv/shop/x.log"],
        "srv": ["/srv/*/shop/a.log"],
        "app-dir": [f"{tmp_path}/app dir/*"],
        "root": ["/*.log"],
    }
    assert config.store.path == tmp_path / "s.db"
    assert (config.store.retention.age, config.store.retention.size, config.archive) == (None, None, None)


def test_patterns_with_overrides(tmp_path):
    config = for_patterns([f"{tmp_path}/*"], None, {"SIDELOG_STORE__PATH": "/e.db"}, overrides=["sources[0].start=end"])
    assert (config.store.path, config.sources[0].start) == (Path("/e.db"), "end")
