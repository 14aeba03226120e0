"""Slips in variables and in rules: told at once and together, never ignored in silence."""

import pytest

PAGE = "hooks: {page: {exec: [/bin/true]}}\n"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SIDELOG_STORE_PATH", "SIDELOG_STORE__PATH"),
        ("SIDELOG_STORE_RETENTION_AGE", "SIDELOG_STORE__RETENTION__AGE"),
        ("SIDELOG_ARCHIVE_DELETE_SOURCE", "SIDELOG_ARCHIVE__DELETE_SOURCE"),
        ("SIDELOG_ARCHIVE_DELET_SOURCE", "SIDELOG_ARCHIVE__DELETE_SOURCE"),
        ("SIDELOG_CONFG", "SIDELOG_CONFIG"),
        ("SIDELOG_SOURCE", "SIDELOG_SOURCES"),
        ("SIDELOG_CONFIG_FILE", "SIDELOG_CONFIG"),
        ("SIDELOG_CONFIGURATION", "SIDELOG_CONFIG"),
        ("SIDELOG_SOURCES_0_NAME", "SIDELOG_SOURCES__0__NAME"),
        ("SIDELOG_SOURCES_12_ROTATE_SIGNAL_PIDFILE", "SIDELOG_SOURCES__12__ROTATE__SIGNAL__PIDFILE"),
        ("SIDELOG_HOOKS_MY_PAGE_TIMEOUT", "SIDELOG_HOOKS__MY_PAGE__TIMEOUT"),
        ("SIDELOG_ALERTS_0_WHEN_COUNT", "SIDELOG_ALERTS__0__WHEN__COUNT"),
        ("SIDELG_STORE__PATH", "SIDELOG_STORE__PATH"),
        ("SIDE_LOG_CONFIG", "SIDELOG_CONFIG"),
        ("sidelog_store__path", "SIDELOG_STORE__PATH"),
        ("SIDELOG_STORE_FILE", "SIDELOG_STORE__PATH"),
        ("sidelog_config", "SIDELOG_CONFIG"),
        ("SIDE_LOG_STORE__PATH", "SIDELOG_STORE__PATH"),
    ],
)
def test_a_variable_that_is_near_to_one_that_counts_is_told(sidelog, monkeypatch, tmp_path, name, near):
    (tmp_path / "sidelog.yaml").write_text("sources: [{name: a, include: [a.log]}]\n")
    monkeypatch.setenv(name, "x")
    words = f"the variable {name} is ignored, did you mean {near}?"
    said = sidelog("query")
    assert (said.err.count("SL103"), words in said.err) == (1, True)
    assert words in sidelog("check").out
    assert "SL103" not in sidelog("query", "-q").err
    (tmp_path / "sidelog.yaml").write_text("sorces: []\n")
    assert words in sidelog("check").out


def test_variables_of_hooks_and_orchestrators_are_no_slips(sidelog, monkeypatch):
    for name in ("RULE", "STATE", "VALUE", "DELIVERY_ID", "PORT", "SERVICE_HOST", "PORT_9880_TCP", "SERVICE_PORT_HTTP"):
        monkeypatch.setenv(f"SIDELOG_{name}", "x")
    for name in ("SIZE__PATH", "SIDECAR_CONFIG", "SIDELOG_STORE_SERVICE_HOST", "SIP_STORE__PATH"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SIDELOG_HTTP", "null")
    monkeypatch.setenv("SIDELOGS", "x")
    assert "SL103" not in sidelog("query").err


def test_rules_that_cannot_be_read_are_told_with_all_else(sidelog, tmp_path):
    rules = "alerts:\n  - {name: r, when: {count: 1}, match: 'severity>=x', hooks: [page]}\n"
    rules += "  - {name: s, when: {cnt: 1}, match: '\"open', hooks: [page]}\n"
    text = f"stor: {{}}\nsources: [{{name: a, include: [x]}}]\n{PAGE}{rules}"
    (tmp_path / "sidelog.yaml").write_text(text)
    for said in (sidelog("check"), sidelog("run", "--once")):
        assert said.code == 78
        shown = said.out + said.err
        assert shown.count("SL103") == 2
        assert shown.count("SL705") == 2
        assert "sidelog.yaml:5: alerts[0].match" in shown
        assert "sidelog.yaml:6: alerts[1].match" in shown


def test_a_configuration_with_a_rule_that_cannot_be_read_is_not_called_valid(sidelog, tmp_path):
    rule = "alerts: [{name: r, when: {count: 1}, match: 'severity>=x', hooks: [page]}]\n"
    (tmp_path / "sidelog.yaml").write_text(f"sources: [{{name: a, include: [x]}}]\n{PAGE}{rule}")
    said = sidelog("check")
    assert (said.code, "SL705" in said.out, "is valid" in said.out) == (78, True, False)


def test_a_rule_about_a_source_that_is_none_is_told_by_the_agent_too(sidelog, tmp_path):
    """`check` warns of it; an agent that is started without would otherwise wait for ever, and say nothing."""
    rules = "alerts:\n  - {name: r, when: {count: 1}, match: 'source=shp severity>=error', hooks: [page]}\n"
    rules += "  - {name: s, when: {count: 1}, match: 'source=shop OR message~x', hooks: [page]}\n"
    (tmp_path / "app.log").write_text('{"msg":"x"}\n')
    source = f"sources: [{{name: shop, include: [{tmp_path}/app.log]}}]\n"
    (tmp_path / "sidelog.yaml").write_text(f"store: {{path: s.db}}\n{source}{PAGE}{rules}")
    said = sidelog("run", "--once")
    assert said.code == 0
    assert "warning[SL519]: alerts[0].match r: there is no source 'shp'; did you mean 'shop'?" in said.err
    assert said.err.count("SL519") == 1
    assert "SL519" not in sidelog("run", "--once", "-q").err
