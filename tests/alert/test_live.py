"""What the rules of a running agent do with transactions, on a real store with a clock that the test moves."""

import json
import sqlite3
from datetime import datetime

import pytest
from msgspec.structs import replace

from agent.alert.live import LiveAlerts
from agent.config import Config, HookConfig, RuleConfig, SourceConfig, WhenConfig
from agent.core.errors import StoreError
from agent.core.model import EventBatch, GroupUpdate, JoinedEvent, Stored, StoredBatch, Transaction
from agent.core.outbox import DeliveryOutcome
from agent.core.times import parse_hours
from agent.store import alerts as tables
from agent.store.opening import open_store
from agent.views.alerts import evictions, list_states
from tests.store.stores import tailed, transaction

S = 10**9
T = 1_795_000_000 * S


class Rig:
    """A store, rules beside its writer, and a clock."""

    def __init__(self, path, *rules):
        self.at = self.elapsed = T
        self.config = configured(*rules)
        self.opened = open_store(path, min_free_bytes=0)
        self.writer = self.opened.writer
        self.delivered, self.reports = [], []
        self.begin()

    def begin(self):
        self.alerts = LiveAlerts(
            self.config,
            self.writer.connection,
            host="here",
            report=lambda error, active=True: self.reports.append((error.code, active)),
            deliver=self.delivered.extend,
            clock=lambda: self.at,
            elapsed=lambda: self.elapsed,
        )

    def move(self, seconds):
        self.at += int(seconds * S)
        self.elapsed += int(seconds * S)

    def commit(self, tx):
        self.writer.write(tx, None, None, [self.alerts])
        before = len(self.delivered)
        self.alerts.after_commit(lambda: None)
        return [(one.rule, one.change) for one in self.delivered[before:]]

    def events(self, *records, severity=17, ages=()):
        """Store one event per record."""
        ages = ages or [0.0] * len(records)
        events = EventBatch(
            timestamps=[self.at - int(age * S) for age in ages],
            severities=[severity] * len(records),
            loggers=[None] * len(records),
            offsets=list(range(len(records))),
            records=[json.dumps(record) for record in records],
            end=len(records),
        )
        file = tailed(1, source="app", resource='{"service.name": "shop"}')
        return self.commit(transaction(StoredBatch(file, events, 0, b"", self.at)))

    def tick(self):
        return self.commit(Transaction(watched=True)) if self.alerts.is_due() else []

    def sql(self, statement):
        return self.writer.connection.execute(statement).fetchall()


def configured(*rules):
    return Config(
        sources=[SourceConfig(name="app", include=["/x"])],
        alerts=list(rules),
        hooks={"page": HookConfig(exec=["/bin/true"])},
    )


def rule(name="r", when=None, **settings):
    return RuleConfig(
        name=name,
        when=WhenConfig(**(when or {"count": 3})),
        **{"match": "severity>=error", "hooks": ["page"], **settings},
    )


@pytest.fixture
def rig(tmp_path):
    rigs = []

    def make(*rules):
        rigs.append(Rig(tmp_path / "s.db", *rules))
        return rigs[-1]

    yield make
    for one in rigs:
        one.opened.close()


def test_a_commit_that_fails_is_tried_again_with_the_same_result(rig, monkeypatch):
    """The engine has moved on when the commit fails; it must not count the events twice."""
    one = rig(rule())
    real, calls = tables.save, []

    def failing(connection, writes):
        calls.append(writes)
        if len(calls) == 1:
            raise StoreError("SL412", "write store", "s.db", "no", retryable=True)
        real(connection, writes)

    monkeypatch.setattr(tables, "save", failing)
    batch = EventBatch([T, T], [17, 17], [None, None], [0, 1], ["{}", "{}"], end=2)
    tx = transaction(StoredBatch(tailed(1, source="app"), batch, 0, b"", T))
    with pytest.raises(StoreError):
        one.commit(tx)
    assert one.commit(tx) == []
    assert calls[0] is calls[1]
    assert one.sql("SELECT sum(count) FROM alert_windows") == [(2,)]
    assert one.events({}) == [("r", "firing")]


def test_a_page_that_was_made_before_is_not_made_again(rig):
    """A power cut took back nothing but the knowledge: the same events lead to the same delivery id."""
    one = rig(rule(when={"count": 1}))
    assert one.events({"message": "no"}) == [("r", "firing")]
    one.writer.connection.execute("DELETE FROM alert_states")
    one.writer.connection.execute("DELETE FROM alert_windows")
    one.begin()
    assert one.events({"message": "no"}) == []
    assert one.sql("SELECT count(*) FROM deliveries") == [(1,)]


def test_only_events_of_the_source_and_field_that_a_rule_names_count(rig):
    one = rig(
        rule("source", match="source=other", when={"count": 1}),
        rule("field", match="http.status=500", when={"count": 1}),
        rule("text", match='"disk full"', when={"count": 1}),
        rule("either", match="user=ann user=bob", when={"count": 2}),
        rule("category", match="category=network", when={"count": 1}),
        rule("label", match="service=shop", when={"count": 5}),
    )
    assert one.events({"http": {"status": 404}}, {"message": "Disk FULL"}, {"user": "eve"}) == [("text", "firing")]
    assert one.events({"http": {"status": 5e2}}) == [("field", "firing")]
    assert one.events({"user": "bob"}) == [("label", "firing")]
    assert one.events({"user": "ann"}) == [("either", "firing")]


def test_keys_come_from_the_event_and_a_missing_field_is_a_key_of_its_own(rig):
    one = rig(rule(when={"count": 2}, per=["host", "n"]))
    assert one.events({"host": "a", "n": 1}, {"host": "a", "n": 1.0}, {"host": "a"}, {"host": "a"}) == [("r", "firing")]
    assert one.sql('SELECT "key" FROM alert_states') == [('{"host":"a","n":null}',)]


def test_a_ratio_counts_all_events_beside(rig):
    one = rig(rule(when={"ratio": 0.5, "min": 4}), rule("keyed", when={"ratio": 0.9, "min": 2}, per=["host"]))
    assert one.events({"host": "a"}, {"host": "a"}, {"host": "b"}, severity=9) == []
    fired = one.events({"host": "b"}, {"host": "c"}, {"host": "c"})
    assert sorted(fired) == [("keyed", "firing"), ("r", "firing")]


def test_a_jump_of_the_clock_empties_no_window_and_a_long_sleep_proves_no_absence(rig):
    one = rig(rule(), rule("beat", match="beat", when={"absent": True}))
    one.events({}, {})
    one.at += 3600 * S
    assert one.tick() == []
    assert one.events({}) == [("r", "firing")]
    one.move(7200)
    assert one.tick() == [("r", "resolved")]
    one.move(290)
    assert one.tick() == []
    one.elapsed += 11 * S
    one.at += 11 * S
    one.tick()


def test_after_a_jump_of_the_clock_and_a_restart_nothing_counts_twice(rig):
    one = rig(rule(when={"count": 4}))
    one.events({}, {})
    one.at += 100 * S
    one.tick()
    one.events()
    one.begin()
    assert one.sql("SELECT sum(count) FROM alert_windows") == [(2,)]
    assert one.events({}) == []
    assert one.events({}) == [("r", "firing")]


def test_the_day_of_a_spike_is_in_the_list_and_leaves_the_store(rig):
    one = rig(rule(when={"spike": 2.0, "min": 1}, window=10.0))
    one.events(*[{}] * 1000)
    one.move(3600)
    one.events({}, {})
    (row,) = list_states(one.writer.connection, one.at)
    assert row["value"] == 2.0
    one.events(*[{}] * 998)
    (row,) = list_states(one.writer.connection, one.at)
    assert row["value"] == 1000.0
    assert one.sql("SELECT count(*) FROM alert_windows WHERE bucket < 0") == [(2,)]
    one.move(90_000)
    one.events({})
    assert one.sql("SELECT count(*), sum(count) FROM alert_windows WHERE bucket < 0") == [(1, 1)]


def test_a_fault_in_a_rule_stops_no_storing(rig, monkeypatch):
    one = rig(rule())
    monkeypatch.setattr(one.alerts.engine, "observe", lambda *_: 1 / 0)
    assert one.events({}) == []
    assert one.reports == [("SL707", True)]
    assert one.sql("SELECT count(*) FROM events") == [(1,)]


def test_outcomes_of_deliveries_are_stored_with_the_next_transaction_or_alone(rig):
    one = rig(rule(when={"count": 1}))
    one.events({})
    (made,) = one.delivered
    one.alerts.finished(DeliveryOutcome(made.id, "waiting", 1, T + S, T, "exit 1", "no"))
    one.alerts.hook_changed("page", {"circuit": "open", "failures": 5, "last_error": "exit 1"})
    assert one.alerts.wait_s() == 0.0
    one.tick()
    assert one.sql("SELECT state, attempts, next_attempt, finished, result FROM deliveries") == [
        ("waiting", 1, T + S, None, "exit 1")
    ]
    assert tables.hook_rows(one.writer.connection)[0] == {
        "name": "page", "circuit": "open", "failures": 5, "last_error": "exit 1",
        "waiting": 1, "delivered": 0, "dead": 0,
    }  # fmt: skip
    one.alerts.finished(DeliveryOutcome(made.id, "delivered", 2, 0, T + S, "exit 0", ""))
    one.alerts.save_outcomes()
    one.alerts.save_outcomes()
    assert one.sql("SELECT state, finished FROM deliveries") == [("delivered", T + S)]


def test_a_reload_that_the_store_refuses_is_tried_again(rig, monkeypatch):
    one = rig(rule())
    real = one.alerts.use

    def refused(*_):
        monkeypatch.setattr(one.alerts, "use", real)
        raise StoreError("SL408", "write store", "s.db", "locked", retryable=True)

    monkeypatch.setattr(one.alerts, "use", refused)
    one.alerts.reload(configured(rule(when={"count": 1})))
    one.alerts.turn()
    assert one.reports == [("SL408", True)]
    one.alerts.turn()
    assert one.alerts.rules["r"].threshold == 1


def test_a_reload_leaves_the_states_of_rules_that_count_the_same_as_they_are(rig):
    """Absence before its first event and while it is pending; counts, groups and samples; what a counter has."""
    rules = (
        rule("never", match="nothing", when={"absent": True}, for_=100.0),
        rule("beat", match="beat", when={"absent": True}, for_=100.0, per=["n"]),
        rule("low", when={"count": 2}), rule("high", when={"count": 4}), rule("lost", when={"count": 3}),
    )  # fmt: skip
    one = rig(*rules)
    one.events({"n": 1, "message": "beat"})
    for _ in range(34):
        one.move(9)
        one.tick()
        one.alerts.reload(one.config)
        one.alerts.turn()
    one.events({})
    one.move(9)
    one.tick()
    pending = dict(one.sql("SELECT rule, since FROM alert_states WHERE phase = 'pending'"))
    assert pending.keys() == {"never", "beat"}
    one.config = configured(
        *[replace(each, inhibited_by=["low"]) if each.name == "high" else each for each in rules[:4]]
    )
    one.alerts.reload(one.config)
    one.alerts.turn()
    assert one.events({}) == [("low", "firing")]
    assert [len(json.loads(made.document)["events"]) for made in one.delivered[-1:]] == [2]
    assert one.events({}, {}) == []  # inhibited: but it fires
    assert ("high",) in one.sql("SELECT rule FROM alert_states WHERE phase = 'firing'")
    told = []
    for _ in range(12):
        one.move(9)
        told += one.tick()
    assert sorted(told) == [("beat", "firing"), ("never", "firing")]
    started = dict(one.sql("SELECT rule, started_at FROM alert_states WHERE rule IN ('never', 'beat')"))
    assert started == {name: since + 100 * S for name, since in pending.items()}


def test_a_restart_gives_a_rule_that_is_inhibited_now_what_it_has_counted(rig):
    one = rig(rule(), rule("high", when={"count": 4}))
    one.events({}, {})
    one.config = configured(rule("r", when={"count": 9}), rule("high", when={"count": 4}, inhibited_by=["r"]))
    one.begin()
    assert one.events({}, {}) == [("high", "firing")]


def test_what_rules_counted_before_they_shared_counters_stays(rig):
    """Such an agent noted no counter, and the windows under the names of the rules."""
    one = rig(rule("low", when={"count": 2}), rule("high", when={"count": 4}), rule("x", when={"spike": 2.0}))
    assert one.events({}, {}) == [("low", "firing")]
    counter = one.alerts.rules["low"].counter
    for name in ("low", "high"):
        one.writer.connection.execute(
            'INSERT INTO alert_windows SELECT ?, "key", bucket, count, total, event_id FROM alert_windows'
            " WHERE rule = ?",
            (name, counter),
        )
    one.writer.connection.execute("DELETE FROM alert_windows WHERE rule = ?", (counter,))
    one.writer.connection.execute("UPDATE alert_rules SET facts = json_remove(facts, '$.counter')")
    one.begin()
    one.move(1)
    assert one.tick() == []  # it fires as before
    assert one.events({}, {}) == [("high", "firing")]
    windows = one.sql("SELECT rule, sum(count) FROM alert_windows WHERE bucket >= 0 GROUP BY rule ORDER BY rule")
    assert windows == [(counter, 4), ("x", 4)]


def test_a_reload_that_the_store_refuses_changes_nothing(rig, monkeypatch):
    one = rig(rule(when={"count": 2}))
    one.events({})

    def refused(*_):
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(tables, "save_rules", refused)
    one.alerts.reload(configured(rule(when={"count": 9})))
    one.alerts.turn()
    assert len(one.reports) == 1
    assert one.events({}) == [("r", "firing")]


def test_old_buckets_leave_the_store(rig):
    one = rig(rule(when={"count": 3}))
    one.events({})
    one.move(7200)
    one.events({})
    assert one.sql("SELECT count(*) FROM alert_windows") == [(1,)]


def test_an_event_too_large_for_a_page_is_cut(rig):
    one = rig(rule(when={"count": 1}))
    one.events({"message": "m" * 10**6, "more": "x" * 10**5})
    (made,) = one.delivered
    (event,) = json.loads(made.document)["events"]
    assert len(made.document) < 10_000
    assert (event["body"][:3], len(event["body"]), event["attributes"]) == ("mmm", 4097, {})


def test_mute_hours_keep_a_rule_quiet(rig):
    one = rig(rule(when={"count": 1}, mute=["mon-sun"]))
    assert one.events({}) == []
    assert one.sql("SELECT phase, quiet FROM alert_states") == [("firing", "muted")]


def test_a_new_group_is_news_once_and_one_that_a_backfill_brings_is_not(rig):
    one = rig(rule(when={"new_group": True}), rule("back", when={"regressed": True}))

    def error(message, group, age=0.0):
        at = one.at - int(age * S)
        update = GroupUpdate(group, f"f{group}", 1, message, None, None, "unknown", None, 17, at, at, 1)
        batch = EventBatch([at], [17], [None], [0], [json.dumps({"message": message})], end=1)
        stored = StoredBatch(tailed(1, source="app"), batch, 0, b"", one.at, {0: group})
        return one.commit(transaction(stored, groups=[update]))

    assert error("old", 1, age=86_400) == []
    assert error("old", 1) == []
    assert error("fresh", 2) == [("r", "firing")]
    assert error("fresh", 2) == []
    one.writer.connection.execute("UPDATE error_groups SET state = 'resolved'")
    one.move(1)
    assert error("old", 1) == [("back", "firing")]
    keys = [json.loads(key) for (key,) in one.sql('SELECT "key" FROM alert_states ORDER BY rule')]
    assert keys == [{"group": "1"}, {"group": "2"}]
    made = json.loads(one.delivered[-1].document)
    group = made["groups"][0]
    assert (group["id"], group["title"], group["severity"], group["state"]) == (1, "old", "ERROR", "regressed")
    assert group["first_seen"] < group["last_seen"]
    assert made["summary"] == "back (group=1): an error that was resolved or ignored has come back: old"
    assert [event["body"] for event in made["events"]] == ["old"] * 2


def test_news_of_a_group_is_never_said_to_be_over(rig):
    """A group that is known now does not stop being so; nor does a reload that takes the rule away say that."""
    one = rig(rule(when={"new_group": True}), rule("gone", when={"new_group": True}))
    batch = EventBatch(
        [one.at] * 7, [17] * 7, [None] * 7, list(range(7)), [f'{{"message":"m{n}"}}' for n in range(7)], end=7
    )
    update = GroupUpdate(
        1, "f", 1, "m" * 500, None, None, "unknown", None, 17, one.at, one.at, 7, {one.at // (60 * S): 7}
    )
    stored = StoredBatch(tailed(1, source="app"), batch, 0, b"", one.at, dict.fromkeys(range(7), 1))
    assert one.commit(transaction(stored, groups=[update])) == [("gone", "firing"), ("r", "firing")]
    made = json.loads(one.delivered[-1].document)
    assert [event["body"] for event in made["events"]] == [f"m{n}" for n in range(2, 7)]
    assert [(group["id"], group["count"]) for group in made["groups"]] == [(1, 7)]
    assert made["summary"] == f"r (group=1): an error that was never seen before: {'m' * 200}…"
    one.config = configured(rule(when={"new_group": True}))
    one.begin()
    one.move(301)
    assert one.tick() == []
    assert one.sql("SELECT * FROM alert_states") == []
    assert one.sql("SELECT rule, state FROM alert_history ORDER BY id DESC LIMIT 2") == [("r", "ok"), ("gone", "ok")]


def test_events_of_ignored_groups_count_for_no_rule_that_does_not_name_a_state(rig):
    """By whatever a rule finds its events: all, a field, a text; also those of one batch with others."""
    one = rig(
        rule("all", when={"count": 1}), rule("field", match="n=1", when={"count": 1}),
        rule("text", match="boom", when={"count": 1}), rule("per", when={"count": 1}, per=["group"]),
        rule("share", when={"ratio": 0.1, "min": 1}), rule("asks", match="boom state=ignored", when={"count": 1}),
        rule("any", match="n=1 state~.", when={"count": 1}, per=["state"]),
    )  # fmt: skip

    def error(*groups):
        now = one.at
        records = [json.dumps({"message": "boom", "n": 1}) for _ in groups]
        batch = EventBatch([now] * len(groups), [17] * len(groups), [None] * len(groups), list(range(len(groups))),
                           records, end=len(groups))  # fmt: skip
        stored = StoredBatch(tailed(1, source="app"), batch, 0, b"", now, dict(enumerate(groups)))
        updates = [GroupUpdate(g, f"f{g}", 1, "boom", None, None, "none", None, 17, now, now, 1) for g in set(groups)]
        return {name for name, _ in one.commit(transaction(stored, groups=updates))}

    assert "all" in error(2)
    one.move(1000)
    one.tick()
    one.writer.connection.execute("UPDATE error_groups SET state = 'ignored' WHERE id = 2")
    assert error(2, 2) == {"asks", "any"}
    assert error(2, 3, 2) == {"all", "field", "text", "per", "share", "any"}
    states = one.sql("SELECT rule, \"key\" FROM alert_states WHERE phase = 'firing' AND rule IN ('per', 'any')")
    assert sorted(states) == [("any", '{"state":"ignored"}'), ("any", '{"state":"new"}'), ("per", '{"group":"3"}')]


def test_an_event_that_later_lines_change_is_counted_by_rules_that_did_not_match_before(rig):
    one = rig(rule("level", when={"count": 1}), rule("text", match="boom", when={"count": 1}))
    file = tailed(1, source="app")
    batch = StoredBatch(file, EventBatch(), 0, b"", one.at)
    joined = JoinedEvent(
        *(batch, 7, one.at, one.at, 0),
        *((9, None, '{"message":"boom"}', None), (17, None, '{"message":"boom x"}', b"boom\n x")),
    )
    found = list(one.alerts._counting.count(Stored(joined=[joined]), one.at))
    level = one.alerts.rules["level"].counter
    assert [(name, key, [hit.id for hit in hits]) for name, key, hits, _ in found] == [(level, "{}", [7])]


def test_rules_that_are_gone_are_resolved_by_the_hooks_that_were_told(rig):
    one = rig(rule("gone", when={"count": 1}), rule("changed", when={"count": 1}), rule("same", when={"count": 1}))
    one.events({})
    assert len(one.delivered) == 3
    one.config = configured(rule("changed", match="x", when={"count": 1}), rule("same", when={"count": 1}))
    one.delivered.clear()
    one.begin()
    over = [(delivery.rule, delivery.change) for delivery in one.delivered if delivery.change == "resolved"]
    assert sorted(over) == [("changed", "resolved"), ("gone", "resolved")]
    assert one.sql("SELECT rule FROM alert_states") == [("same",)]


def test_states_given_up_are_counted_and_said(rig, monkeypatch):
    monkeypatch.setattr("agent.alert.live.MAX_KEYS", 3)
    one = rig(rule(per=["n"]))
    one.events(*({"n": number} for number in range(5)))
    assert one.reports == [("SL706", True)]
    assert evictions(one.writer.connection) == {"r": 2}
    assert one.sql("SELECT count(*) FROM alert_windows") == [(3,)]


def test_the_list_has_the_value_of_each_form_as_the_engine_has_it(rig):
    one = rig(
        rule("rate", when={"rate": 0.01}, window=10.0),
        rule("ratio", when={"ratio": 0.1, "min": 2}, window=10.0),
        rule("spike", when={"spike": 1.5, "min": 1}, window=10.0),
    )
    one.events({}, {})
    one.move(11)
    one.events({}, {}, {}, {})
    one.events({}, {}, {}, {}, severity=9)
    rows = {row["rule"]: (row["state"], row["value"]) for row in list_states(one.writer.connection, one.at)}
    assert rows == {"rate": ("firing", 0.4), "ratio": ("firing", 0.5), "spike": ("firing", 2.0)}
    for name, _, value in (("rate", 0, 0.4), ("ratio", 0, 0.5), ("spike", 0, 2.0)):
        assert one.alerts.engine.states[name]["{}"].measure(one.alerts.rules[name]) == value


@pytest.mark.parametrize(
    ("text", "local", "held"),
    [
        ("22:00-06:00", "2026-11-22T23:00", True), ("22:00-06:00", "2026-11-22T05:59", True),
        ("22:00-06:00", "2026-11-22T06:00", False), ("sat,sun", "2026-11-22T12:00", True),
        ("sat,sun", "2026-11-23T00:00", False), ("fri-mon 8:00-9:00", "2026-11-23T08:30", True),
        ("sun 22:00-6:00", "2026-11-23T01:00", True), ("sun 22:00-6:00", "2026-11-22T01:00", False),
        ("0:00-24:00", "2026-11-22T23:59", True),
    ],
)  # fmt: skip
def test_mute_hours_are_local_and_over_midnight_belong_to_the_day_they_begin(text, local, held):
    instant = int(datetime.fromisoformat(local).timestamp()) * S
    assert parse_hours(text).hold(instant) is held


def test_a_text_is_found_however_json_writes_it(rig):
    one = rig(
        rule("word", match="timeout", when={"count": 1}),
        rule("quote", match=r'"a\"b"', when={"count": 1}),
        rule("both", match="timeout user=ann", when={"count": 1}),
        rule("none", match="elsewhere", when={"count": 1}),
    )
    assert one.events({"message": "all is well"}, {"message": 'a"b'}) == [("quote", "firing")]
    batch = EventBatch([one.at], [17], [None], [0], ['{"message":"\\u0054\\u0049meout"}'], end=1)
    tx = transaction(StoredBatch(tailed(1, source="app"), batch, 0, b"", one.at))
    assert one.commit(tx) == [("word", "firing")]
    assert one.events({"message": "TimeOut", "user": {"name": "ann"}}, {"user": [{}, "ann"]}) == []
    assert one.events({"message": "TimeOut", "user": "ann"}) == [("both", "firing")]


def test_values_that_are_equal_in_python_are_told_apart(rig):
    one = rig(rule(when={"count": 1}, per=["n"]), rule("one", match="n=1", when={"count": 3}))
    one.events({"n": 1}, {"n": True}, {"n": 1.0}, {"n": "1"}, {"n": {"m": 1}}, {"n": [1, 2]}, {})
    keys = {key for (key,) in one.sql("SELECT \"key\" FROM alert_states WHERE rule = 'r'")}
    assert keys == {'{"n":"1"}', '{"n":"true"}', '{"n":"1.0"}', '{"n":null}'}
    assert one.sql("SELECT phase FROM alert_states WHERE rule = 'one'") == [("firing",)]
