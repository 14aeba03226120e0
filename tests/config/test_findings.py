"""Every rule of the schema: what is refused, with file, path, value and hint, and what passes."""

from __future__ import annotations

import pytest

from agent.config import RotateConfig
from tests.config.conftest import GOOD

FORWARD = "forward:\n  - {name: c, %s}\n"
RULE = "alerts:\n  - {name: r, match: x, when: {count: 5}%s}\n"
SOURCE = "sources:\n  - {name: app, include: [/x]%s}\n"

CASES = [
    # document, code, message after the file's name (its beginning)
    (FORWARD % "match: x", "SL108", "2: forward[0]: neither 'clickhouse' nor 'otlp' is given"),
    (FORWARD % "clickhouse: http://a, otlp: http://b", "SL108", "2: forward[0]: 'clickhouse' and 'otlp' exclude"),
    (FORWARD % "otlp: http://b, ttl: 30d", "SL108", "2: forward[0].ttl: 'ttl' goes with 'clickhouse', not with 'otlp'"),
    (FORWARD % "clickhouse: http://a, headers: {a: b}", "SL108", "2: forward[0].headers: 'headers' go with 'otlp'"),
    (FORWARD % "otlp: http://b, headers: {'a b': c}", "SL104", "2: forward[0].headers.\"a b\": 'a b' is not a header"),
    (
        FORWARD % "clickhouse: [http://a, ftp://b]",
        "SL104",
        "2: forward[0].clickhouse[1]: is not an http:// or https://",
    ),
    (FORWARD % "clickhouse: []", "SL104", "2: forward[0].clickhouse: names no server"),
    (FORWARD % "clickhouse: 'http://u:pw@a'", "SL104", "2: forward[0].clickhouse: the URL has a user or a pass"),
    (FORWARD % "clickhouse: 'http://a/?password=s3cret'", "SL104", "2: forward[0].clickhouse: the URL has a '?'"),
    (FORWARD % "clickhouse: http://a, database: 'a b'", "SL104", "2: forward[0].database: 'a b' is not a usable name"),
    (FORWARD % "clickhouse: http://a, batch: {events: 0}", "SL104", "2: forward[0].batch.events: 0 is out of range"),
    (FORWARD % "clickhouse: http://a, ttl: 1h", "SL104", "2: forward[0].ttl: 1h is out of range"),
    (FORWARD % "clickhouse: http://a}\n  - {name: c, otlp: http://b", "SL106", "3: forward[1].name: the name 'c' is"),
    ("engine: {database: logs}\n", "SL105", "1: engine: the key 'clickhouse' is missing"),
    ("engine: {clickhouse: 'http://u:pw@a'}\n", "SL104", "1: engine.clickhouse: the URL has a user or a password"),
    ("engine: {clickhouse: http://a, user: ''}\n", "SL104", "1: engine.user: is no user's name"),
    ("store: 5\n", "SL104", "1: store: 5 is not a mapping"),
    ("store: {flush_interval: banana}\n", "SL104", "1: store.flush_interval: 'banana' is not a duration"),
    ("store: {flush_interval: 5}\n", "SL104", "1: store.flush_interval: 5 is a number without a unit, not a duration"),
    ("store: {flush_interval: true}\n", "SL104", "1: store.flush_interval: true is not a duration"),
    ("store: {flush_interval: 0s}\n", "SL104", "1: store.flush_interval: 0s is out of range"),
    ("store: {min_free: 64 potatoes}\n", "SL104", "1: store.min_free: '64 potatoes' is not a size"),
    ("store: {min_free: 9999999999TiB}\n", "SL104", "1: store.min_free: '9999999999TiB' is larger than any disk"),
    ("store: {retention: {age: 9999999w}}\n", "SL104", "1: store.retention.age: '9999999w' is longer than a thousand"),
    ("archive: {retention: {event_age: 0s}}\n", "SL104", "1: archive.retention.event_age: 0s is out of range"),
    ("archive: {retention: {event_ages: 1d}}\n", "SL103", "1: archive.retention.event_ages: unknown key"),
    ("store: {retention: {size: 1B}}\n", "SL104", "1: store.retention.size: 1 B is out of range"),
    ("store: {path: ''}\n", "SL104", "1: store.path: is an empty path"),
    ("store: {path: 7}\n", "SL104", "1: store.path: 7 is not a text"),
    ('store: {path: "a\\0b"}\n', "SL104", "1: store.path: holds a NUL character"),
    ("alert: []\n", "SL103", "1: alert: unknown key 'alert', did you mean 'alerts'?"),
    ("zzz: []\n", "SL103", "1: zzz: unknown key 'zzz'"),
    ("sources: app\n", "SL104", "1: sources: 'app' is not a list"),
    ("sources: [app]\n", "SL104", "1: sources[0]: 'app' is not a mapping"),
    ("sources: [{include: [/x]}]\n", "SL105", "1: sources[0]: the key 'name' is missing"),
    ("sources: [{name: app}]\n", "SL105", "1: sources[0]: the key 'include' is missing"),
    ("sources: [{name: a/b, include: [/x]}]\n", "SL104", "1: sources[0].name: 'a/b' is not a usable name"),
    ("sources: [{name: app, include: []}]\n", "SL104", "1: sources[0].include: names no file"),
    ("sources: [{name: app, include: ['']}]\n", "SL104", "1: sources[0].include[0]: is empty"),
    ("sources: [{name: app, include: /x}]\n", "SL104", "1: sources[0].include: '/x' is not a list"),
    (SOURCE % ", labels: {a: 1}", "SL104", "2: sources[0].labels.a: 1 is not a text"),
    (SOURCE % ", labels: {a b: x}", "SL104", "2: sources[0].labels.\"a b\": 'a b' is not a usable label name"),
    (SOURCE % ", labels: [x]", "SL104", "2: sources[0].labels: a list is not a mapping"),
    (SOURCE % ", format: jsn", "SL104", "2: sources[0].format: 'jsn' is none of auto, json, text"),
    (SOURCE % ", start: 1", "SL104", "2: sources[0].start: 1 is none of beginning, end"),
    (
        SOURCE % ", fields: {mesage: m}",
        "SL103",
        "2: sources[0].fields.mesage: unknown field 'mesage', did you mean 'mes",
    ),
    (SOURCE % ", fields: {message: a..b}", "SL104", "2: sources[0].fields.message: 'a..b' is not a dotted path"),
    (
        SOURCE % ", timezone: Europe/Viena",
        "SL104",
        "2: sources[0].timezone: 'Europe/Viena' is not a time zone, did you me",
    ),
    (SOURCE % ", timezone: ../x", "SL104", "2: sources[0].timezone: '../x' is not a time zone"),
    (SOURCE % ", timezone: qqqqqq", "SL104", "2: sources[0].timezone: 'qqqqqq' is not a time zone"),
    (SOURCE % ", multiline: on", "SL104", "2: sources[0].multiline: 'on' is none of auto, off"),
    (
        SOURCE % ", multiline: {start: '('}",
        "SL104",
        "2: sources[0].multiline.start: '(' is not a regular expression: mi",
    ),
    (SOURCE % ", multiline: {timeout: 2s}", "SL105", "2: sources[0].multiline: the key 'start' is missing"),
    (SOURCE % ", multiline: {start: a, timeout: 2h}", "SL104", "2: sources[0].multiline.timeout: 2h is out of range"),
    (SOURCE % ", max_line: 1B", "SL104", "2: sources[0].max_line: 1 B is out of range"),
    (SOURCE % ", redact: ['']", "SL104", "2: sources[0].redact: holds an empty name"),
    (SOURCE % ", rotate: {keep: 3}", "SL105", "2: sources[0].rotate: none of 'size', 'every' and 'at' is given"),
    (
        SOURCE % ", rotate: {every: 1d, at: '03:00'}",
        "SL108",
        "2: sources[0].rotate: 'every' and 'at' exclude each other",
    ),
    (SOURCE % ", rotate: {at: '24:00'}", "SL104", "2: sources[0].rotate.at: '24:00' is not a time of day"),
    (SOURCE % ", rotate: {at: 3am}", "SL104", "2: sources[0].rotate.at: '3am' is not a time of day"),
    (
        SOURCE % ", rotate: {size: 1MiB, method: copy}",
        "SL104",
        "2: sources[0].rotate.method: 'copy' is none of rename, co",
    ),
    (SOURCE % ", rotate: {size: 1MiB, command: []}", "SL104", "2: sources[0].rotate.command: names no program"),
    (SOURCE % ", rotate: {size: 1MiB, timeout: 2h}", "SL104", "2: sources[0].rotate.timeout: 2h is out of range"),
    (
        SOURCE % ", rotate: {size: 1MiB, command: [a], signal: {pidfile: /x}}",
        "SL108",
        "2: sources[0].rotate: 'signal' and 'command' exclude each other",
    ),
    (
        SOURCE % ", rotate: {size: 1MiB, method: copytruncate, command: [a]}",
        "SL108",
        "2: sources[0].rotate.command: 'command' has no meaning with copytruncate",
    ),
    (SOURCE % ", rotate: {every: 1d, keep: -1}", "SL104", "2: sources[0].rotate.keep: -1 is out of range"),
    (
        SOURCE % ", rotate: {every: 1d, signal: {pidfile: /x, name: USR7}}",
        "SL104",
        "2: sources[0].rotate.signal.name: 'USR7'",
    ),
    (
        SOURCE % ", rotate: {every: 1d, signal: {name: HUP}}",
        "SL105",
        "2: sources[0].rotate.signal: the key 'pidfile' is mi",
    ),
    ("archive: {directry: /x}\n", "SL103", "1: archive.directry: unknown key 'directry', did you mean 'directory'?"),
    ("archive: {level: 30}\n", "SL104", "1: archive.level: 30 is out of range"),
    ("archive: {level: 3.5}\n", "SL104", "1: archive.level: 3.5 is not a whole number"),
    ("archive: {level: yes}\n", "SL104", "1: archive.level: 'yes' is not a whole number"),
    ("archive: {delete_source: perhaps}\n", "SL104", "1: archive.delete_source: 'perhaps' is neither true nor false"),
    ("archive: {delete_source: 1}\n", "SL104", "1: archive.delete_source: 1 is neither true nor false"),
    (RULE % ", severity: loud", "SL104", "2: alerts[0].severity: 'loud' is none of critical, error, warning, info"),
    (RULE % ", window: 0s", "SL104", "2: alerts[0].window: 0s is out of range"),
    (RULE % ", for: 99d", "SL104", "2: alerts[0].for: 99d is out of range"),
    (RULE % ", per: ['']", "SL104", "2: alerts[0].per: holds an empty field name"),
    (RULE % ", hooks: [page]", "SL107", "2: alerts[0].hooks[0]: there is no hook 'page'"),
    (
        RULE % ", hooks: [pgae]" + "hooks: {page: {exec: [/x]}}\n",
        "SL107",
        "2: alerts[0].hooks[0]: there is no hook 'pgae', did",
    ),
    (RULE % ", resolve_below: 6", "SL104", "2: alerts[0].resolve_below: 6 is above the threshold of count"),
    (RULE % ", resolve_below: 3%", "SL104", "2: alerts[0].resolve_below: '3%' is not written like count"),
    (RULE % ", resolve_below: few", "SL104", "2: alerts[0].resolve_below: 'few' is not a threshold"),
    (RULE % ", resolve_below: true", "SL104", "2: alerts[0].resolve_below: true is not a threshold"),
    (RULE % ", labels: {a b: x}", "SL104", "2: alerts[0].labels.\"a b\": 'a b' is not a usable label name"),
    (RULE % ", inhibited_by: [r]", "SL107", "2: alerts[0].inhibited_by[0]: a rule cannot inhibit itself"),
    (RULE % ", inhibited_by: [q]", "SL107", "2: alerts[0].inhibited_by[0]: there is no rule 'q'"),
    (RULE % ", mute: [noon]", "SL104", "2: alerts[0].mute[0]: 'noon' is not made of days and a time span"),
    (RULE % ", mute: ['7:00-7:00']", "SL104", "2: alerts[0].mute[0]: '7:00-7:00' is not a time span of a day"),
    (RULE % ", mute: ['24:30-1:00']", "SL104", "2: alerts[0].mute[0]: '24:30-1:00' is not a time span of a day"),
    (
        RULE % ", mute: ['1:00-2:00 3:00-4:00']",
        "SL104",
        "2: alerts[0].mute[0]: '1:00-2:00 3:00-4:00' has two times of the day",
    ),
    (RULE % ", group_wait: 2h", "SL104", "2: alerts[0].group_wait: 2h is out of range"),
    ("alerts: [{name: r, when: {count: 5}}]\n", "SL105", "1: alerts[0]: 'match' is missing"),
    ("alerts: [{name: r, match: x}]\n", "SL105", "1: alerts[0]: the key 'when' is missing"),
    (
        "alerts: [{name: r, match: x, when: {cuont: 5}}]\n",
        "SL103",
        "1: alerts[0].when.cuont: unknown key 'cuont', did you me",
    ),
    ("alerts: [{name: r, match: x, when: {}}]\n", "SL108", "1: alerts[0].when: says no condition"),
    (
        "alerts: [{name: r, match: x, when: {count: 1, rate: 1/s}}]\n",
        "SL108",
        "1: alerts[0].when: count and rate exclude",
    ),
    (
        "alerts: [{name: r, match: x, when: {count: 1, min: 1}}]\n",
        "SL108",
        "1: alerts[0].when.min: 'min' goes with ratio",
    ),
    ("alerts: [{name: r, match: x, when: {count: 0}}]\n", "SL104", "1: alerts[0].when.count: 0 is out of range"),
    ("alerts: [{name: r, match: x, when: {ratio: 5}}]\n", "SL104", "1: alerts[0].when.ratio: 5 is not a percentage"),
    (
        "alerts: [{name: r, match: x, when: {spike: 0.5x}}]\n",
        "SL104",
        "1: alerts[0].when.spike: '0.5x' is not a factor",
    ),
    ("alerts: [{name: r, match: x, when: {rate: fast}}]\n", "SL104", "1: alerts[0].when.rate: 'fast' is not a rate"),
    (
        "alerts: [{name: r, when: {new_group: false}}]\n",
        "SL104",
        "1: alerts[0].when.new_group: false means nothing here",
    ),
    (
        "alerts: [{name: r, when: {regressed: true}, resolve_below: 3}]\n",
        "SL108",
        "1: alerts[0].resolve_below: it has no m",
    ),
    ("hooks: {page: {}}\n", "SL108", "1: hooks.page: neither 'exec' nor 'webhook' is given"),
    (
        "hooks: {page: {exec: [/x], webhook: 'http://x'}}\n",
        "SL108",
        "1: hooks.page: 'exec' and 'webhook' exclude each other",
    ),
    ("hooks: {page: {exec: []}}\n", "SL104", "1: hooks.page.exec: names no program"),
    ("hooks: {page: {exec: [/x], headers: {A: b}}}\n", "SL108", "1: hooks.page.headers: 'headers' go with 'webhook'"),
    ("hooks: {page: {exec: [/x], retries: 1000}}\n", "SL104", "1: hooks.page.retries: 1000 is out of range"),
    ("hooks: {a b: {exec: [/x]}}\n", "SL104", "1: hooks.\"a b\": 'a b' is not a usable name"),
    ("hooks: {c: {webhook: 'ftp://s3cret'}}\n", "SL104", "1: hooks.c.webhook: is not an http:// or https:// URL"),
    ("hooks: {c: {webhook: 'http://[s3cret'}}\n", "SL104", "1: hooks.c.webhook: is not an http:// or https:// URL"),
    ("hooks: {c: {webhook: {evn: s3cret}}}\n", "SL104", "1: hooks.c.webhook: is not a text and not a reference"),
    ("hooks: {c: {webhook: {env: 's3 cret'}}}\n", "SL104", "1: hooks.c.webhook: is not a text and not a reference"),
    ("hooks: {c: {webhook: {format: slack}}}\n", "SL105", "1: hooks.c.webhook: the key 'url' is missing"),
    ("hooks: {c: {webhook: {url: 'http://x', fromat: slack}}}\n", "SL103", "1: hooks.c.webhook.fromat: unknown key"),
    ("hooks: {c: {webhook: {url: 'http://x', format: slak}}}\n", "SL104", "1: hooks.c.webhook.format: 'slak'"),
    ("hooks: {c: {webhook: {url: 's3cret', format: slack}}}\n", "SL104", "1: hooks.c.webhook.url: is not an http://"),
    ("hooks: {c: {webhook: {url: {evn: s3cret}}}}\n", "SL104", "1: hooks.c.webhook.url: is not a text and not"),
    (
        "hooks: {c: {webhook: {url: 'http://x', format: pagerduty}}}\n",
        "SL108",
        "1: hooks.c.webhook: the format 'pagerduty' needs 'key'",
    ),
    (
        "hooks: {c: {webhook: {url: 'http://x', key: s3cret}}}\n",
        "SL108",
        "1: hooks.c.webhook: 'key' goes with the format 'pagerduty', not",
    ),
    (
        "hooks: {c: {webhook: {url: 'http://s3cret/', format: ntfy}}}\n",
        "SL104",
        "1: hooks.c.webhook.url: names no topic",
    ),
    (
        "hooks: {c: {webhook: 'http://x', headers: {'a b': s3cret}}}\n",
        "SL104",
        "1: hooks.c.headers.\"a b\": 'a b' is not a he",
    ),
    (
        'hooks: {c: {webhook: "http://x", headers: {a: "s3cret\\n"}}}\n',
        "SL104",
        "1: hooks.c.headers.a: holds a control ch",
    ),
    ("http: {listen: 9880}\n", "SL104", "1: http.listen: 9880 is not a text"),
    ("http: {listen: '127.0.0.1'}\n", "SL104", "1: http.listen: '127.0.0.1' is not HOST:PORT"),
    ("http: {listen: ':70000'}\n", "SL104", "1: http.listen: ':70000' is not HOST:PORT"),
    ("http: {listen: ':9880'}\n", "SL104", "1: http.listen: ':9880' can be reached from elsewhere"),
    ("http: {listen: '0.0.0.0:9880'}\n", "SL104", "1: http.listen: '0.0.0.0:9880' can be reached from elsewhere"),
    ("http: {listen: '[::]:9880'}\n", "SL104", "1: http.listen: '[::]:9880' can be reached from elsewhere"),
    ("http: {listen: 'logs.example:9880'}\n", "SL104", "1: http.listen: 'logs.example:9880' can be reached from else"),
    ("http: {listen: 'unix:http.sock'}\n", "SL104", "1: http.listen: 'unix:http.sock' is no absolute path of a socket"),
    ("http: {listen: 'unix:/%s'}\n" % ("a" * 107), "SL104", "1: http.listen: 'unix:/aaaa"),
    ("http: {hosts: ['http://a']}\n", "SL104", "1: http.hosts[0]: 'http://a' is not a host's name"),
    ("http: {hosts: [a, 'b:80']}\n", "SL104", "1: http.hosts[1]: 'b:80' is not a host's name"),
    ("http: {hosts: ['']}\n", "SL104", "1: http.hosts[0]: '' is not a host's name"),
    ("http: {hosts: ['*']}\n", "SL104", "1: http.hosts[0]: '*' is not a host's name"),
    ("http: {hosts: a}\n", "SL104", "1: http.hosts: 'a' is not a list"),
    ("http: {public: [logs]}\n", "SL104", "1: http.public[0]: 'logs' is none of health, ready, metrics"),
    ("http: {behind_proxy: 1}\n", "SL104", "1: http.behind_proxy: 1 is neither true nor false"),
    ("http: {tls: {certificate: /c}}\n", "SL105", "1: http.tls: the key 'key' is missing"),
    ("http: {tls: {certificate: '', key: /k}}\n", "SL104", "1: http.tls.certificate: is an empty path"),
]


@pytest.mark.parametrize(("text", "code", "said"), CASES, ids=[said[:50] for _, _, said in CASES])
def test_what_does_not_fit_is_one_finding_with_its_place(workshop, text, code, said):
    found = workshop.findings(text)
    assert [(one[0], one[1].removeprefix("sidelog.yaml:")[: len(said)]) for one in found] == [(code, said)]
    assert "s3cret" not in str(found), "a secret is shown"


SLIPS = [
    ("sources:\n  - name:a\n    include:[x]\n", "2: sources[0]: 'name:a include:[x]' has no blank", "write name: a"),
    (
        "store: {path:/x/y.db}\n",
        "1: store.\"path:/x/y.db\": the key 'path:/x/y.db' has no blank",
        "write path: /x/y.db",
    ),
    ("store:{path: x}\n", "the key 'store:{path' has no blank behind its ':'", "write store: {path"),
    (SOURCE % ", labels: a:b", "sources[0].labels: 'a:b' has no blank", "write a: b"),
    ("hooks: {c: 'https://x'}\n", "1: hooks.c: 'https://x' is not a mapping", "its keys are exec, webhook, "),
    ("sources:\n  -name: a\n  include: [x]\n", "1: sources: '-name' has no blank behind its '-'", "write - name"),
    ("sources: [{name: a, include: -x}]\n", "include: '-x' has no blank behind its '-'", "write - x"),
    ("sources:\n  name: a\n  include: [x]\n", "1: sources: a mapping is not a list", "each element: - name: …"),
    ("sources:\n  - name: #a\n    include: [x]\n", "2: sources[0].name: null is not a text", "begins with '#'"),
    ("store:\n\xa0 path: x\n", "holds the blank U+00A0, which is none of YAML's", "type the blanks of this line anew"),
]


@pytest.mark.parametrize(("text", "said", "heals"), SLIPS, ids=[said for _, said, _ in SLIPS])
def test_a_slip_that_yaml_takes_for_something_else_is_named(workshop, text, said, heals):
    (_, message, hint), *_ = workshop.findings(text)
    assert said in message
    assert heals in hint


def test_everything_wrong_is_reported_at_once(workshop):
    text = "store: {pth: /x, min_free: 5}\nalert: []\n" + SOURCE % ", inclde: [x], timezone: nowhere, labels: {a: 1}"
    codes = [code for code, _, _ in workshop.findings(text)]
    assert codes == ["SL103", "SL104", "SL103", "SL103", "SL104", "SL104"]


def test_a_finding_in_one_item_does_not_shift_the_others(workshop):
    text = "sources:\n  - {name: a}\n  - {name: b, include: [/x], timezone: nowhere}\n  - {name: a, include: [/y]}\n"
    found = [message for _, message, _ in workshop.findings(text)]
    assert found[0].startswith("sidelog.yaml:2: sources[0]: the key 'include' is missing")
    assert found[1].startswith("sidelog.yaml:3: sources[1].timezone: 'nowhere' is not a time zone")
    assert found[2] == "sidelog.yaml:4: sources[2].name: the name 'a' is taken by sidelog.yaml:2: sources[0].name"


def test_hints_show_an_example(workshop):
    (_, _, hint), *_ = workshop.findings("store: {flush_interval: 5}\n")
    assert "250ms" in hint
    (_, message, _), *_ = workshop.findings(SOURCE % ", timezone: europe/viena")
    assert "did you mean 'Europe/Vienna'?" in message


def test_a_long_value_is_cut(workshop):
    (_, message, _), *_ = workshop.findings(f"store: {{flush_interval: {'x' * 500}}}\n")
    assert len(message) < 150


def test_other_formats_have_places_without_lines(workshop):
    found = workshop.findings('{"store": {"pth": 1}}', name="a.json")
    assert found[0][1] == "a.json: store.pth: unknown key 'pth', did you mean 'path'?"
    found = workshop.findings("[store]\nmin_free = 2026-01-01\n", name="a.toml")
    assert found[0][1] == "a.toml: store.min_free: 2026-01-01 is not a size"


@pytest.mark.parametrize(
    ("more", "threshold"),
    [
        ("when: {count: 50}, resolve_below: 25", 25),
        ("when: {rate: 10/m}, resolve_below: 5/m", 5 / 60),
        ("when: {ratio: 5%, min: 100}, resolve_below: 3%", 0.03),
        ("when: {spike: 4x, min: 20}, resolve_below: 2x", 2),
        ("when: {absent: true}", None),
    ],
)
def test_every_form_of_when(workshop, more, threshold):
    rule = workshop.load(f"alerts: [{{name: r, match: x, for: 30s, {more}}}]\n").alerts[0]
    assert rule.resolve_below == (pytest.approx(threshold) if threshold else None)
    assert rule.when.form == more.split("{")[1].split(":")[0]
    assert rule.for_ == 30


def test_what_else_passes(workshop):
    source = (
        "multiline: off, timezone: Europe/Vienna, rotate: {size: 1MiB, signal: {pidfile: run/x.pid, name: sigusr1}}"
    )
    config = workshop.load(
        SOURCE % f", {source}"
        + "archive: {delete_source: off, inactive: 1d}\n"
        + "hooks:\n  page: {exec: [notify-send, a/b]}\n"
        + "  chat: {webhook: 'https://h:8443/x', headers: {A: {file: tok}, B: {env: TOKEN}}}\n"
        + "http: {listen: '[::1]:80'}\n"
    )
    for good in (
        "listen: localhost:1",
        "listen: '127.8.8.8:1'",
        "listen: 'unix:/run/a.sock'",
        "listen: ':1', behind_proxy: true",
        "listen: '[::]:1', tls: {certificate: c, key: k}",
        "hosts: [logs.example.org, 10.0.0.1, '2001:db8::1'], public: []",
    ):
        workshop.load(f"http: {{{good}}}\n")
    source = config.sources[0]
    assert (source.multiline, source.timezone) == ("off", "Europe/Vienna")
    assert workshop.load(SOURCE % ", rotate: {at: '3:05', command: [./reopen, x]}").sources[0].rotate == RotateConfig(
        at="3:05", command=[str(workshop.path / "reopen"), "x"]
    )
    assert source.rotate.signal.pidfile == workshop.path / "run/x.pid"
    assert (config.archive.delete_source, config.archive.directory, config.archive.inactive) == (False, None, 86_400)
    assert config.hooks["page"].exec == ["notify-send", "a/b"], "a bare name is looked up in PATH, arguments stay"
    assert config.hooks["chat"].service.format == "generic"
    assert config.hooks["page"].service is None
    team = workshop.load(
        "hooks: {t: {webhook: {url: {file: u}, format: pagerduty, key: {env: K}}}, p: {exec: [./x, ./y, ../z, -y]}}"
    )
    assert (team.hooks["t"].webhook.format, team.hooks["t"].webhook.key.env) == ("pagerduty", "K")
    assert team.hooks["t"].webhook.url.file == workshop.path / "u"
    assert team.hooks["p"].exec == [
        str(workshop.path / "x"),
        str(workshop.path / "y"),
        str(workshop.path.parent / "z"),
        "-y",
    ]
    assert config.hooks["chat"].headers["A"].file == workshop.path / "tok"
    assert workshop.load(GOOD).sources[0].multiline == "auto"


def test_a_value_out_of_range_is_one_finding_with_its_bounds(workshop):
    """What the rest of the section then lacks is not held against it."""
    ((code, message, hint),) = workshop.findings(SOURCE % ", rotate: {size: 0B}")
    assert (code, message) == ("SL104", "sidelog.yaml:2: sources[0].rotate.size: 0 B is out of range")
    assert hint == "it may be from 1 B to 1048576.0 TiB"


def test_a_threshold_that_cannot_be_read_is_not_compared(workshop):
    rule = "alerts:\n  - {name: r, match: x, when: {count: many}, resolve_below: 5}\n"
    assert [finding[0] for finding in workshop.findings(rule)] == ["SL104"]
