"""`sidelog query` and `sidelog sql` as commands: options, exit codes, pipes, terminals."""

import csv
import io
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from agent.cli.main import run_command_line
from tests.query.stores import BASE, SECOND, EventRow, FileRow, add_events, make_store

pytestmark = pytest.mark.measured

NASTY = "BEFORE\x1b]0;owned\x07\x1b[2J\x9b31m\x08\r\u202eAFTER\x7f\u2066"
ROWS = [
    EventRow({"message": "Service started", "user": "ann", "n": 0}, BASE, 9),
    EventRow({"message": "disk low", "logger": "disk", "n": 1}, BASE + SECOND, 13),
    EventRow({"message": "payment failed", "user": "bob", "n": 2}, BASE + 2 * SECOND, 17, 2, group=1),
    EventRow({"message": "out of memory", "n": 3}, BASE + 3 * SECOND, 21, 2, group=2),
]
FILES = [FileRow("shop", "/var/log/shop.log", {"service.name": "shop-svc"}), FileRow("pay", "/var/log/pay.log")]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "s.db"
    make_store(path, ROWS, FILES).close()
    return path


@pytest.fixture
def run(store, capfdbinary, monkeypatch, tmp_path):
    """Run a command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIDELOG_CONFIG", raising=False)

    def run(command, *args, store=store):
        code = run_command_line([command, "--store", str(store), *args])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return run


@pytest.fixture
def numbers(run):
    def numbers(*args):
        code, out, err = run("query", "-o", "json", *args)
        assert code == 0, err
        return [json.loads(line)["attributes"]["n"] for line in out.splitlines()]

    return numbers


@pytest.mark.parametrize(
    ("args", "out", "words"),
    [
        (["usr=ann"], "", ["a field 'usr'; did you mean 'user'?"]),
        (
            ["--count", "-s", "shp"],
            "0\n",
            ["there is no source 'shp'; did you mean 'shop'?", "hint: there are: pay, shop"],
        ),
        (["--by", "user", "-s", "shp", "-o", "json"], "", ["there is no source 'shp'"]),
        (["--by", "usr", "-o", "csv"], "usr,count\n,4\n", ["did you mean 'user'?"]),
        (["--fields", "n,usr", "-o", "csv", "-n", "1"], "n,usr\n3,\n", ["a field 'usr'"]),
        (["--fields", "usr", "-n", "1", "-o", "json"], '{"usr":null}\n', ["a field 'usr'"]),
        (["--agg", "p95:m", "-o", "csv"], "count,p95:m\n4,\n", ["a field 'm'"]),
        (
            ["--agg", "max:n,avg:user", "-o", "csv"],
            "count,max:n,avg:user\n4,3,\n",
            ["no value of user is a number: they are '", "'ann'"],
        ),
        (["-S", "1h", "-U", "2h"], "", ["nothing lies between --since"]),
        (["n>=x"], "", ["no value of n is >= x, which is no number"]),
        (["--cursor-file", "cursor", "usr=ann"], "", ["a field 'usr'"]),
    ],
)
def test_an_empty_answer_says_why_on_stderr(run, args, out, words):
    """What is printed and the exit code stay as they are, and `-q` keeps it quiet."""
    code, found, err = run("query", *args)
    assert (code, found.replace("\r", "")) == (0, out)
    assert err.startswith("sidelog: warning[SL519]: ")
    assert [word for word in words if word not in err] == []
    (Path.cwd() / "cursor").unlink(missing_ok=True)
    assert run("query", "-q", *args) == (0, found, "")


@pytest.mark.parametrize(
    "args",
    [["user=nobody"], ["--count", "nothing"], ["-n", "0", "usr=x"], ["--fields", "user", "-n", "1"], ["--by", "user"]],
)
def test_what_exists_and_matches_nothing_is_no_fault(run, args):
    code, _, err = run("query", *args)
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ([], [0, 1, 2, 3]),
        (["-n", "2"], [2, 3]),
        (["-n", "2", "-r"], [3, 2]),
        (["-n", "0"], []),
        (["--lines=all"], [0, 1, 2, 3]),
        (["payment"], [2]),
        (["!payment", "severity>=error"], [3]),
        (["-p", "warn..error"], [1, 2]),
        (["-p", "fatal"], [3]),
        (["-s", "pay"], [2, 3]),
        (["-s", "pay", "-s", "shop", "user=ann"], [0]),
        (["-g", "^payment f"], [2]),
        (["-g", "^Payment"], []),
        (["--grep", "SERVICE|disk"], [1]),
        (["--grep", r"service|disk"], [0, 1]),
        (["-S", f"@{BASE // SECOND + 1}", "-U", f"@{BASE // SECOND + 3}"], [1, 2]),
        (["-U", "-1m"], [0, 1, 2, 3]),
        (["-S", "-1m"], []),
        (["--since=+1m"], []),
        (["category=category1"], [2]),
        (["!category=category1"], [0, 1, 3]),
        (["category!=category1"], [0, 1, 3]),
        (["category~1$"], [2]),
        (["state=ongoing"], [2, 3]),
        (["state=new"], []),
        (["state!=ignored"], [0, 1, 2, 3]),
        (["!state=ongoing"], [0, 1]),
        (["--hot"], [0, 1, 2, 3]),
        (["--archives"], []),
        (["--hot", "--archives"], [0, 1, 2, 3]),
    ],
)
def test_what_is_found(numbers, args, wanted):
    """Options and terms together, oldest first unless told otherwise."""
    now = time.time()
    if now < BASE // SECOND and args in (["-U", "-1m"], ["-S", "-1m"]):
        wanted = [] if wanted else [0, 1, 2, 3]
    assert numbers(*args) == wanted


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["-p", "loud"], "SL512"),
        (["-S", "whenever"], "SL514"),
        (["-U", ""], "SL514"),
        (["-g", "("], "SL513"),
        (["-n", "many"], "SL501"),
        (["-n", "-5"], "SL501"),
        (["-o", "yodel"], "SL501"),
        (["--by", "a,,b"], "SL518"),
        (["--fields", ""], "SL518"),
        (["--by", "severity", "--every", "0s"], "SL518"),
        (["--every", "x"], "SL515"),
        (["--top", "3"], "SL518"),
        (["--count", "--top", "3"], "SL518"),
        (["--count", "-f"], "SL518"),
        (["--by", "a", "--cursor-file", "c"], "SL518"),
        (["-r", "-f"], "SL518"),
        (["-r", "--cursor-file", "c"], "SL518"),
        (["a>"], "SL510"),
        (['"a'], "SL511"),
    ],
)
def test_wrong_usage_is_exit_2_and_a_sentence(run, args, code):
    """Nothing on stdout, the code and a hint on stderr."""
    exit_code, out, err = run("query", *args)
    assert (exit_code, out) == (2, "")
    assert f"error[{code}]" in err
    assert "hint:" in err


def test_a_bad_term_is_shown_with_a_caret(run):
    """Above the error, control characters escaped."""
    _, _, err = run("query", "a\x1b>")
    assert err.splitlines()[:2] == ["a?>", "   ^"]


def test_a_missing_or_damaged_store_is_exit_3(run, tmp_path):
    """And nothing is created."""
    assert run("query", store=tmp_path / "none.db")[0] == 3
    assert not (tmp_path / "none.db").exists()
    damaged = tmp_path / "damaged.db"
    make_store(damaged, [EventRow({"m": "x" * 900}) for _ in range(3_000)]).close()
    data = bytearray(damaged.read_bytes())
    pages = len(data) // 16_384
    data[16_384 * (pages // 2) : 16_384 * (pages - 1)] = b"\xff" * (16_384 * (pages - 1 - pages // 2))
    damaged.write_bytes(data)
    for command, args in (("query", ["-n", "all"]), ("sql", ["SELECT count(record) FROM events WHERE record > ''"])):
        code, _, err = run(command, *args, store=damaged)
        assert code == 3, err
        assert "error[SL4" in err


def test_forms(run):
    """Each is what it says."""
    assert run("query", "-o", "raw", "payment")[1] == json.dumps(ROWS[2].record) + "\n"
    rows = list(csv.DictReader(io.StringIO(run("query", "-o", "csv")[1])))
    assert [row["message"] for row in rows] == [row.record["message"] for row in ROWS]
    assert run("query", "-o", "csv", "--fields", "user,n", "nothing-at-all")[1] == "user,n\n"
    assert run("query", "-o", "logfmt", "--fields", "message,user", "n=0")[1] == 'message="Service started" user=ann\n'
    short = run("query")[1]
    assert len(short.splitlines()) == 4
    assert "\x1b" not in short
    assert "\x1b[" in run("query", "--color=always")[1]
    assert "category: category1" in run("query", "-o", "verbose", "payment")[1]
    assert json.loads(run("query", "-o", "json", "--fields", "category,n", "payment")[1]) == {
        "category": "category1",
        "n": 2,
    }


def test_counts(run):
    """A number, a table, rows."""
    assert run("query", "--count")[1] == "4\n"
    assert run("query", "--count", "-p", "error", "-n", "1")[1] == "2\n"
    assert run("query", "--count", "user~.")[1] == "2\n"
    assert run("query", "--count", "--archives")[1] == "0\n"
    rows = [
        json.loads(line) for line in run("query", "-o", "json", "--by", "source,severity", "--top", "1")[1].splitlines()
    ]
    assert rows == [{"source": "pay", "severity": "ERROR", "count": 1}]
    rows = [json.loads(line) for line in run("query", "-o", "json", "--every", "1s", "--count")[1].splitlines()]
    assert [row["count"] for row in rows] == [1, 1, 1, 1]
    assert run("query", "--by", "user")[1].splitlines()[0].split() == ["user", "count"]
    assert run("query", "--by", "user", "--archives", "-o", "json")[1] == ""


def test_a_cursor_goes_on_where_it_stopped(run, tmp_path):
    """Page by page with -n, everything new without; older timestamps are not missed; a younger store begins anew."""
    path, cursor = tmp_path / "c.db", tmp_path / "cursor"
    writer = make_store(path, [EventRow({"n": n}, BASE + n) for n in range(250)])

    def page(*args):
        code, out, err = run("query", "-o", "json", "--cursor-file", str(cursor), *args, store=path)
        assert code == 0, err
        return [json.loads(line)["attributes"]["n"] for line in out.splitlines()]

    assert page("-n", "0") == []
    assert page("-n", "7") == list(range(7))
    assert page("-n", "7", "n>8") == list(range(9, 16))
    assert page() == list(range(16, 250))
    assert page() == []
    add_events(writer, [EventRow({"n": 300}, BASE - SECOND), EventRow({"n": 301}, BASE + 9 * SECOND)])
    assert page("n=301") == [301]
    assert page() == []
    writer.execute("DELETE FROM events")
    assert page() == []
    writer.close()
    for name in ("c.db", "c.db-wal", "c.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    writer = make_store(path, [EventRow({"n": 1})])
    code, out, err = run("query", "-o", "raw", "--cursor-file", str(cursor), store=path)
    assert (code, out) == (0, '{"n": 1}\n')
    assert "newer than the cursor" in err
    writer.close()


# ---------------------------------------------------------------- as a process of its own


def start(*args, store, **settings):
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "SIDELOG_CONFIG")}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm", **settings.pop("env", {})}
    return subprocess.Popen([sys.executable, "-m", "agent", *args, "--store", str(store)], env=environment, **settings)


def on_terminal(*args, store, **env):
    """What a command prints when its stdout is a terminal."""
    lead, terminal = pty.openpty()
    with start(*args, store=store, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, env=env) as process:
        os.close(terminal)
        seen = b""
        while True:
            try:
                data = os.read(lead, 65_536)
            except OSError:  # EIO: the other end has closed
                break
            if not data:
                break
            seen += data
        process.wait(30)
    os.close(lead)
    return seen.decode(errors="surrogateescape").replace("\r\n", "\n")


@pytest.mark.parametrize(
    "args",
    [["query"], ["query", "-o", "verbose"], ["query", "-o", "logfmt"], ["query", "-o", "json"], ["query", "-o", "csv"],
     ["query", "-o", "raw"], ["query", "--by", "message"], ["query", "--by", "message", "-o", "csv"],
     ["sql", "SELECT record, raw FROM events"], ["sql", "--json", "SELECT raw FROM events"],
     ["sql", "--csv", "SELECT raw FROM events"], ["sql", "SELECT 1 AS 'a\x1b[2J'"]],
)  # fmt: skip
def test_no_view_on_a_terminal_lets_control_characters_through(tmp_path, args):
    """Neither from messages nor from keys; with NO_COLOR there is no escape sequence at all."""
    path = tmp_path / "s.db"
    record = json.dumps({"message": NASTY, "k\x1b[2Jey": NASTY}, ensure_ascii=False)
    with closing(make_store(path, [EventRow(record, severity=17, raw=record.encode())])) as connection:
        connection.execute("UPDATE events SET raw = CAST(raw AS TEXT)" if args[0] == "sql" else "SELECT 1")
    seen = on_terminal(*args, store=path, NO_COLOR="1")
    assert "BEFORE" in seen or "a\\x1b" in seen
    assert not re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", seen)


def test_colour_on_a_terminal(store):
    """Unless NO_COLOR says otherwise."""
    assert "\x1b[" in on_terminal("query", store=store)
    assert "\x1b" not in on_terminal("query", store=store, NO_COLOR="1")


def test_following_shows_new_events_and_ends_quietly(tmp_path):
    """What is there, then what comes; Ctrl-C is the usual end; the cursor is kept as it goes."""
    path, cursor = tmp_path / "s.db", tmp_path / "cursor"
    writer = make_store(path, [EventRow({"n": 1})])
    for more in ([], ["--cursor-file", str(cursor)]):
        process = start("query", "-f", "-o", "raw", *more, store=path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first == b'{"n": 1}\n'
        add_events(writer, [EventRow({"n": 2})])
        seen = [process.stdout.readline()]
        while seen[-1] != b'{"n": 2}\n':
            seen.append(process.stdout.readline())
        if more:
            last = writer.execute("SELECT max(id) FROM events").fetchone()[0]
            while json.loads(cursor.read_text())["after_id"] < last:
                time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (out, err) == (b"", b"")
        writer.execute("DELETE FROM events WHERE id > 1")
    writer.close()


def test_a_reader_that_leaves_makes_no_noise(tmp_path):
    """`| head` ends the command without a word; a full device is one sentence."""
    path = tmp_path / "s.db"
    make_store(path, [EventRow({"n": n, "pad": "x" * 300}) for n in range(3_000)]).close()
    process = start("query", "-n", "all", "-o", "json", store=path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) in (0, 1, 141)
    with Path("/dev/full").open("wb") as full:
        process = start("query", "-n", "all", store=path, stdout=full, stderr=subprocess.PIPE)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"Traceback" not in err
    assert len(err.splitlines()) <= 2


def test_a_query_loads_neither_the_writers_libraries_nor_the_agent(store):
    """Each would cost more than the query: sqlite-utils alone 80 ms."""
    script = (
        "import sys; from agent.cli.main import run_command_line as run;"
        f"run(['query', '--store', {str(store)!r}, '-p', 'error']);"
        "heavy = {'sqlite_utils', 'watchdog', 'structlog', 'asyncio', 'yaml', 'zstandard', 'agent.pipeline'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=environment, cwd="/")
    assert done.stderr == b"[]\n"


# ---------------------------------------------------------------- sql


def test_sql_answers_in_three_forms(run):
    """A table, one JSON array, CSV; names are made distinct, bytes are SQL's literal."""
    statement = "SELECT id, message, id, x'ff00' AS b, NULL AS none, 1.5 AS f FROM logs WHERE severity_number >= 17"
    code, out, _ = run("sql", statement)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["id", "message", "id_2", "b", "none", "f"]
    assert "payment failed" in lines[2]
    assert "x'ff00'" in lines[2]
    rows = json.loads(run("sql", "--json", statement)[1])
    assert rows[0] == {"id": 3, "message": "payment failed", "id_2": 3, "b": "x'ff00'", "none": None, "f": 1.5}
    assert len(rows) == 2
    assert run("sql", "--csv", statement)[1].splitlines()[1] == "3,payment failed,3,x'ff00',,1.5"
    assert json.loads(run("sql", "--json", "SELECT 1 WHERE 0")[1]) == []
    assert run("sql", "SELECT 1 AS one WHERE 0")[1].splitlines()[0] == "one"
    assert run("sql", " -- nothing")[0] == 0
    assert json.loads(run("sql", "--json", "SELECT CAST(x'ff41' AS TEXT) AS t")[1]) == [{"t": "\ufffdA"}]
    assert run("sql", "SELECT name FROM pragma_table_info('gaps')")[1].split()[2] == "id"
    assert run("sql", "SELECT value FROM json_each('[1,2,3]')")[1].split()[-3:] == ["1", "2", "3"]


def test_sql_prints_more_than_one_page(run):
    """Rows are read and written a thousand at a time, all of them."""
    statement = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 2500) SELECT x FROM c"
    assert len(run("sql", statement)[1].splitlines()) == 2_502
    assert len(json.loads(run("sql", "--json", statement)[1])) == 2_500
    assert len(run("sql", "--csv", statement)[1].splitlines()) == 2_501


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM events", "SL521"),
        ("INSERT INTO meta VALUES ('a', 'b')", "SL521"),
        ("CREATE TABLE t(a)", "SL521"),
        ("CREATE TEMP TABLE t(a)", "SL521"),
        ("DROP VIEW logs", "SL521"),
        ("UPDATE events SET record = ''", "SL521"),
        ("WITH a AS (SELECT 1) DELETE FROM events", "SL521"),
        ("ATTACH 'new.db' AS n", "SL521"),
        ("VACUUM INTO 'copy.db'", "SL521"),
        ("VACUUM", "SL521"),
        ("BEGIN", "SL521"),
        ("SELECT load_extension('x')", "SL521"),
        ("PRAGMA query_only = 0", "SL521"),
        ("PRAGMA journal_mode = delete", "SL521"),
        ("PRAGMA writable_schema = 1", "SL521"),
        ("PRAGMA user_version = 5", "SL521"),
        ("SELEC 1", "SL520"),
        ("SELECT * FROM nothing", "SL520"),
        ("SELECT length(zeroblob(100000000))", "SL520"),
        ("SELECT 'a\0b'", "SL520"),
        ("SELECT 1; SELECT 2", "SL522"),
    ],
)
def test_sql_that_does_more_than_read_is_refused(run, tmp_path, store, statement, code):
    """Exit 2 with the reason; no file is made, nothing changed."""
    before = store.read_bytes()
    exit_code, out, err = run("sql", statement)
    assert (exit_code, out) == (2, "")
    assert f"error[{code}]" in err
    assert list(tmp_path.iterdir()) == []
    assert store.read_bytes() == before


def test_harmless_pragmas_tell(run):
    """Those that change nothing, also as table-valued functions and through EXPLAIN."""
    assert run("sql", "PRAGMA page_size")[1].split()[-1] == "4096"
    assert "record" in run("sql", "PRAGMA table_info(events)")[1]
    assert "SCAN" in run("sql", "EXPLAIN QUERY PLAN SELECT * FROM events")[1]
    assert "events" in run("sql", "SELECT name FROM sqlite_master")[1]


@pytest.mark.parametrize("inner", ["SELECT count(*) FROM c", "SELECT x FROM c WHERE x < 5"])
def test_an_endless_statement_is_stopped(run, inner):
    """Whether it hangs before its first row or after."""
    statement = f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) {inner}"
    code, _, err = run("sql", "--timeout", "0.2", statement)
    assert code == 1
    assert "error[SL523]" in err
    assert "0.2 s" in err


def test_a_locked_store_is_exit_3(tmp_path, run, monkeypatch):
    """A program that holds the store exclusively is named as the reason."""
    path = tmp_path / "s.db"
    writer = make_store(path, ROWS, FILES)
    writer.execute("PRAGMA locking_mode = EXCLUSIVE")
    writer.execute("BEGIN EXCLUSIVE")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, **{**kwargs, "timeout": 0.1}))
    code, _, err = run("query", store=path)
    writer.close()
    assert code == 3, err
