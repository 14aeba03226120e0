"""The command line over a ClickHouse: the same rows as from the store, plus whose they are."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest

from agent.clickhouse import schema
from agent.clickhouse.address import ClickHouseAddress
from tests.query.fleets import AGENT, fill
from tests.query.tiers import OBSERVED, Tiers

SECOND = 10**9
START = OBSERVED - 3600 * SECOND
LOGGERS = ("shop.cart", "shop.orders", "shop.payment", "größe.x")
TRACE = 'Traceback (most recent call last):\n  File "shop/cart.py", line 7, in add\n    x\nValueError: no item %d'

SHAPES = [
    ("timeout",),
    ("Timeout",),
    ('"order 17"',),
    ("größe", "-n", "all"),
    ("!accepted", "-n", "50"),
    ("level", "severity>=warn"),
    ("-p", "error"),
    ("-p", "warn..error", "-r"),
    ("-s", "app"),
    ("-s", "web", "-n", "all"),
    ("logger=shop.cart",),
    ("logger=shop.*", "-n", "7", "-r"),
    ("service=shop", "logger!=shop.cart"),
    ("service~^s",),
    ("path=/var/log/shop.log",),
    ("path~web",),
    ("message~order.\\d+5 ",),
    ("-g", "failed|timeout"),
    ("http.status>=500",),
    ("http.status=200", "user.id<50"),
    ("http.path=/api/*", "-n", "20"),
    ("attributes.user.id=7", "OR", "severity=fatal"),
    ("(timeout OR logger=shop.orders)", "!http.status=200"),
    ("trace_id=%s",),
    ("group=*",),
    ("state=new", "OR", "state=ongoing"),
    ("category!=none", "-n", "5"),
    ("id>10", "id<=20"),
    ("offset=0",),
    ("-S", "2026-11-18T12:00:00Z", "-U", "2026-11-18T12:40:00Z", "-n", "all"),
    ("host.name=*", "-n", "3"),
    ("timeout", "-C", "2"),
    ("absent-everywhere",),
    ("it's \\ 100%_",),
]
COUNTS = [
    ("--count",),
    ("timeout", "--count"),
    ("http.status>=500", "--count"),
    ("--by", "severity,logger"),
    ("--by", "service,source,path"),
    ("-p", "error", "--by", "logger", "--every", "1m"),
    ("--by", "http.status", "--every", "10m"),
    ("timeout", "--by", "user.id", "--top", "5"),
    ("--by", "state,category,group"),
    ("--by", "logger", "--agg", "avg:http.ms,p95:http.ms,max:user.id"),
    ("accepted", "--agg", "sum:http.ms", "--every", "5m"),
    ("!timeout", "--by", "message", "--top", "3"),
]


def shop_log(number: int, seed: int) -> bytes:
    """A log of JSON lines of many shapes."""
    chance, lines = random.Random(seed), []
    for n in range(number):
        at = datetime.fromtimestamp((START + n * 9 * SECOND) / SECOND, UTC).isoformat()
        what = chance.choice(["accepted", "shipped", "failed: Timeout after 3 s", 'is "odd"', "it's \\ 100%_"])
        row = {
            "timestamp": at,
            "level": chance.choices(["info", "warn", "error", "fatal"], [70, 15, 12, 3])[0],
            "logger": chance.choice(LOGGERS),
            "message": f"order {n} {what}",
            "trace_id": f"{n // 4:032x}",
            "http": {"status": chance.choice([200, 201, 404, 500, "503"]), "path": f"/api/{n % 9}", "ms": n % 37},
            "user": {"id": chance.randrange(100)},
        }
        if row["level"] == "error":
            row["stack_trace"] = TRACE % (n % 3)
        lines.append(json.dumps(row, ensure_ascii=chance.random() < 0.2).encode())
    return b"\n".join(lines) + b"\n"


TEXT_LOG = b"".join(
    b"2026-11-18 12:%02d:00 %s web.worker: request %d took \xff %d ms\n"
    % (n, b"ERROR" if n % 5 == 0 else b"INFO", n, n * 7)
    for n in range(60)
)


@pytest.fixture
def both(database, tmp_path, monkeypatch, capfdbinary):
    """Asks the same of the store and of the server."""
    address = ClickHouseAddress((database.url,), database.name)
    schema.make(address, None, replicated=False, ttl_days=None)
    with Tiers(tmp_path) as tiers:
        tiers.store("shop.log", shop_log(400, 1))
        tiers.store("web.log", TEXT_LOG, source="web")
        tiers.store("syslog", b"Nov 18 12:00:01 web1 sshd[663]: session opened for user \xc3\xb6\n" * 3)
        fill(address, tiers.path)
    from agent.cli.main import run_command_line

    monkeypatch.setattr("agent.config.loader.SYSTEM_FILE", tmp_path / "none.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")

    def ask(*arguments, engine=False, code=0):
        place = (
            ["--engine", f"{database.url}?database={database.name}"] if engine else ["--store", str(tmp_path / "s.db")]
        )
        capfdbinary.readouterr()
        done = run_command_line([*map(str, arguments), *place])
        said = capfdbinary.readouterr()
        assert done == code, said.err
        return said.out

    return ask


def rows(out):
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.timeout(120)
def test_every_shape_of_question_has_the_rows_of_the_store(both):
    for shape in SHAPES:
        asked = [word % f"{20:032x}" if word == "trace_id=%s" else word for word in shape]
        local = rows(both("query", *asked, "-o", "json"))
        central = rows(both("query", *asked, "-o", "json", engine=True))
        assert {row.pop("agent") for row in central} <= {AGENT}
        assert central == local, shape
        assert local or shape == ("absent-everywhere",), shape
        for form in ("short", "raw", "csv", "logfmt"):
            assert both("query", *asked, "-o", form, engine=True) == both("query", *asked, "-o", form), (shape, form)


@pytest.mark.timeout(120)
def test_counts_are_those_of_the_store(both):
    for shape in COUNTS:
        local = both("query", *shape, "-o", "json")
        assert both("query", *shape, "-o", "json", engine=True) == local, shape
        assert local.strip() not in {b"", b'{"count":0}'}, shape
        assert both("query", *shape, engine=True) == both("query", *shape)


def test_errors_are_those_of_the_store(both):
    local, central = (json.loads(both("errors", "list", "--json", engine=engine)) for engine in (False, True))
    assert len(local) > 1
    assert central == local
    for group in local:
        one, other = (json.loads(both("errors", "show", group["id"], "--json", engine=e)) for e in (False, True))
        for document in (one, other):
            document.pop("history", None)
            document.pop("services", None)
        for event in (*other["samples"], *other["trace_events"]):
            event.pop("agent", None)
        assert other == one


def test_a_state_is_given_where_the_events_are_stored(both):
    both("errors", "resolve", "1", engine=True, code=2)
    both("query", "--hot", engine=True, code=2)


def test_the_agents_of_a_fleet_are_shown(both):
    document = json.loads(both("status", "--json", engine=True))
    (row,) = document["agents"]
    assert (row["agent"], row["host"], row["lag_events"]) == (AGENT, "web1", 0)
    assert row["last_event"].startswith("2026-11-18T")
    assert b"web1" in both("status", engine=True)


def test_whose_an_event_is_can_be_asked_and_counted(both):
    (row,) = rows(both("query", "--by", "agent", "-o", "json", engine=True))
    assert row["agent"] == AGENT
    assert rows(both("query", f"agent={AGENT}", "--count", "-o", "json", engine=True)) == [{"count": row["count"]}]
    assert rows(both("query", f"agent!={AGENT}", "--count", "-o", "json", engine=True)) == [{"count": 0}]
    assert rows(both("query", "--by", "agent", "-o", "json")) == [{"agent": None, "count": row["count"]}]
