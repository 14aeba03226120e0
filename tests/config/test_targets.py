"""Targets of `forward` and the section `engine`, as they are written."""

from __future__ import annotations

from pathlib import Path

from agent.config import BatchConfig, ForwardConfig, HoldConfig, Secret


def test_one_address_may_stand_without_brackets(workshop):
    config = workshop.load("forward:\n  - {name: a, clickhouse: 'http://x:8123'}\nengine: {clickhouse: [http://y]}\n")
    assert config.forward == [ForwardConfig(name="a", clickhouse=["http://x:8123"])]
    assert config.engine.clickhouse == ["http://y"]
    assert config.engine.database == "logs"


def test_everything_that_a_target_can_say(workshop):
    (target,) = workshop.load(
        "forward:\n"
        "  - name: central\n"
        "    clickhouse: [http://x, http://y]\n"
        "    database: app_logs\n"
        "    user: sidelog\n"
        "    password: {file: secret}\n"
        "    ca: ca.pem\n"
        "    match: severity>=warn\n"
        "    batch: {events: 10, bytes: 1MiB, interval: 2s}\n"
        "    hold: {age: null, size: 1GiB}\n"
        "    ttl: 30d\n"
    ).forward
    assert target.batch == BatchConfig(events=10, bytes=2**20, interval=2)
    assert target.hold == HoldConfig(age=None, size=2**30)
    assert (target.database, target.user, target.match, target.ttl) == (
        "app_logs",
        "sidelog",
        "severity>=warn",
        2592000,
    )
    assert isinstance(target.password, Secret)
    assert target.password.file == workshop.path / "secret"
    assert target.ca == Path(workshop.path / "ca.pem")


def test_targets_of_drop_ins_are_added(workshop):
    workshop.write("forward:\n  - {name: b, otlp: 'http://z:4318', headers: {X-Key: {env: KEY}}}\n", "conf.d/b.yaml")
    config = workshop.load("forward:\n  - {name: a, clickhouse: 'http://x'}\n")
    assert [target.name for target in config.forward] == ["a", "b"]
    assert config.forward[1].headers["X-Key"].env == "KEY"


def test_nothing_that_is_shown_of_it_has_the_password(workshop):
    config = workshop.load("engine: {clickhouse: http://x, user: u, password: s3cret}\n")
    assert "s3cret" not in repr(config)
    assert config.engine.password.resolve() == "s3cret"


def test_the_environment_can_name_an_engine(workshop):
    config = workshop.load("{}\n", SIDELOG_ENGINE__CLICKHOUSE="http://x")
    assert config.engine.clickhouse == ["http://x"]
