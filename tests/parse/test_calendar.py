"""Years and dates that lines leave out: by the file's modification time and the lines around, and twice the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.model import LineBatch
from agent.parse.decode import FileParser
from tests.parse.effort import examples
from tests.parse.test_cases import iso
from tests.parse.test_twin import columns, tailed
from tests.sources import parsing

NS = 10**9
DAY = 86_400 * NS
NOW = 1_798_000_000 * NS  # 2026-12-23T04:26:40Z


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


def read(lines: list[str], modified: str | int, *, observed: int = NOW, parser: FileParser | None = None) -> list[str]:
    """The instants of a file that was written last at `modified`, all of it in one batch."""
    data = "".join(f"{line}\n" for line in lines).encode()
    written = unix(modified) if isinstance(modified, str) else modified
    parser = parser or FileParser(parsing())
    out = parser.feed(LineBatch(tailed(), 0, data, observed, modified=written, final=True))
    assert not out.parse_errors
    assert [error.timestamp for error in out.errors] == [out.timestamps[error.index] for error in out.errors]
    return [iso(instant).removesuffix("Z") for instant in out.timestamps]


def test_an_old_file_stays_old():
    lines = ["I1203 10:00:00.000000       1 server.go:72] a", "E1204 10:00:00.000000       1 server.go:73] b"]
    assert read(lines, "2023-12-04T10:00:01") == ["2023-12-03T10:00:00", "2023-12-04T10:00:00"]
    assert read(lines, 0) == ["2026-12-03T10:00:00", "2026-12-04T10:00:00"]


def test_new_years_eve():
    lines = ["Dec 31 23:59:59 web app: a", "Jan  1 00:00:01 web app: b", "Jan 20 00:00:00 web app: c"]
    wanted = ["2023-12-31T23:59:59", "2024-01-01T00:00:01", "2024-01-20T00:00:00"]
    assert read(lines, "2024-01-20T00:00:02") == wanted
    assert read(lines[:1], "2024-01-01T00:00:01") == wanted[:1]
    assert read([lines[1], lines[0], lines[1]], "2024-01-01T00:00:02") == [wanted[1], wanted[0], wanted[1]]


def test_a_copy_does_not_go_back_at_the_day_it_was_made():
    """The file was copied on 23 December, which says nothing of its lines: they stay in order."""
    lines = [f"{day} 10:00:00 web app: {day}" for day in ("Nov 30", "Dec 22", "Dec 24", "Dec 25", "Dec 26")]
    assert {instant[:4] for instant in read(lines, "2026-12-23T00:00:00")} == {"2025"}


def test_a_clock_that_was_wrong_for_one_line_moves_no_other():
    lines = ["Nov 20 10:00:00 pi app: a", "Jan  1 00:00:05 pi kernel: booting", "Nov 20 10:05:00 pi app: b"]
    assert read(lines, "2026-11-20T10:05:01") == ["2026-11-20T10:00:00", "2026-01-01T00:00:05", "2026-11-20T10:05:00"]


def test_a_line_with_its_year_tells_that_of_its_neighbours():
    lines = ["2019-03-01 10:00:00 a", "Mar  1 10:00:05 web app: b", "Mar  2 10:00:00 web app: c"]
    wanted = ["2019-03-01T10:00:00", "2019-03-01T10:00:05", "2019-03-02T10:00:00"]
    assert read(lines, "2026-12-22T00:00:00") == wanted
    assert read([*lines[1:], "2019-03-02 10:00:01 d"], 0) == [*wanted[1:], "2019-03-02T10:00:01"]


def dateless(parser: FileParser, times: list[str], modified: int, offset: int = 0) -> tuple[list[int], int]:
    """Instants of lines whose heads have the time of day alone."""
    data = "".join(f'{{"log":"x\\n","stream":"stdout","time":"{time}"}}\n' for time in times).encode()
    out = parser.feed(LineBatch(tailed(), offset, data, NOW, modified=modified))
    return out.timestamps, offset + len(data)


def test_times_of_day_end_with_the_file():
    times = ["10:00:00", "22:00:00", "10:00:00", "22:00:00.5", "09:00:00", "08:59:59"]
    parser = FileParser(parsing())
    found, _ = dateless(parser, times, unix("2024-03-05T09:00:01"))
    days = ["03T10:00:00", "03T22:00:00", "04T10:00:00", "04T22:00:00.5", "05T09:00:00", "05T08:59:59"]
    assert [iso(one) for one in found] == [f"2024-03-{day}Z" for day in days]


def test_lines_that_a_pattern_fits_together_are_noted_each_for_itself():
    config = parsing(
        format="pattern", patterns=(r"^(?P<severity>[A-Z]+) (?P<timestamp>\w+ +\d+ [\d:]+) (?P<message>.*)",)
    )
    lines = [f"INFO {day} 10:00:00 x" for day in ("Nov 30", "Dec 22", "Dec 24", "Dec 25", "Dec 26")]
    found = read(lines, "2026-12-23T00:00:00", parser=FileParser(config))
    assert {instant[:4] for instant in found} == {"2025"}


def years(start: datetime, steps: list[int]) -> list[datetime]:
    found, at = [], start
    for step in steps:
        at += timedelta(hours=step)
        found.append(at)
    return found


def test_a_containers_time_completes_the_one_in_its_line():
    parser = FileParser(parsing())
    data = b'{"log":"Dec 31 23:59:59 web app: x\\n","stream":"stdout","time":"2020-01-01T00:00:01Z"}\n'
    out = parser.feed(LineBatch(tailed(), 0, data, NOW, final=True))
    assert [iso(one) for one in out.timestamps] == ["2019-12-31T23:59:59Z"]
    assert parser.profile.calendar == ()


def day(year: int, number: int = 1) -> datetime:
    return datetime.strptime(f"{year}-{number}", "%Y-%j")  # noqa: DTZ007 - hypothesis takes them without a zone


STARTS = st.datetimes(day(2010), day(2020))


@given(STARTS, st.lists(st.integers(0, 24 * 150), min_size=1, max_size=30))
@settings(max_examples=examples(100), deadline=None)
@example(day(2012, 59), [24, 24 * 366 - 24 * 200, 24 * 100])
def test_a_log_that_is_followed_for_years_has_them_right_then_and_later(start, steps):
    """Each line is read when it is written. Parsed again from the profile, in frames, it has the same instants."""
    times = years(start.replace(microsecond=0), steps)
    lines = [f"{at:%b} {at.day:2d} {at:%H:%M:%S} web app: x\n".encode() for at in times]
    wanted = [int(at.replace(tzinfo=UTC).timestamp()) * NS for at in times]
    parser, found, offset = FileParser(parsing()), [], 0
    for line, instant in zip(lines, wanted, strict=True):
        out = parser.feed(LineBatch(tailed(), offset, line, instant + NS, modified=instant + NS))
        found += out.timestamps
        offset += len(line)
        if offset % 3 == 0:  # a restart
            parser = FileParser(parsing(), parser.profile)
    assert found == wanted
    check_recorded(b"".join(lines), parser.profile, wanted, [len(line) for line in lines])


def check_recorded(data: bytes, profile, wanted: list[int], sizes: list[int]) -> None:
    """Frames of one line, of two and of all have the instants again, in any order."""
    for lines in (1, 2, len(sizes)):
        found, place = {}, 0
        parser = FileParser(parsing(), profile, read_by=NOW, recorded=True)
        begins = [sum(sizes[:n]) for n in range(0, len(sizes), lines)]
        for begin, end in reversed(list(zip(begins, [*begins[1:], len(data)], strict=True))):
            batch = LineBatch(tailed(), 0, data[begin:end], NOW, final=True)
            out = parser.feed(batch, place=begin.__add__)
            found[begin] = out.timestamps
        assert [instant for begin in sorted(found) for instant in found[begin]] == wanted, (lines, place)


MIXED = st.lists(
    st.one_of(
        st.datetimes(day(2019), day(2027)).map(lambda at: f"{at:%b} {at.day:2d} {at:%H:%M:%S} web app: x"),
        st.datetimes(day(2019), day(2026)).map(lambda at: f"{at:%Y-%m-%d %H:%M:%S} ERROR x"),
        st.datetimes(day(2019), day(2027)).map("E{:%m%d %H:%M:%S}.000001   1 a.go:5] x".format),
        st.datetimes(day(2019), day(2027)).map(lambda at: f'{{"log":"x\\n","stream":"stdout","time":"{at:%H:%M:%S}"}}'),
        st.builds(
            '{{"log":"{}","stream":"{}","time":"{}"}}'.format,
            st.sampled_from(
                [
                    r"05:39:26 x\n",
                    r"Feb 29 00:00:00 web app: x\n",
                    r"Jan  1 00:00:00 web app: x\n",
                    "05:39",
                    r":26 ERROR x\n",
                    r"{\"time\":\"Jan  1 00:00:00\"}\n",
                    r"x\n",
                ]
            ),
            st.sampled_from(["stdout", "stderr"]),
            st.sampled_from(
                ["2026-11-22T05:39:27Z", "Jan  1 00:00:00", "00:00:00", "2026-13-01T00:00:00Z", "  11-22 05:39:27"]
            ),
        ),
        st.just("no time"),
        st.just('{"time":"2024-02-29T00:00:00Z","level":"error"}'),
        st.just('{"time":"Feb 29 00:00:00","level":"error"}'),
    ),
    min_size=1,
    max_size=12,
)

OBJECTS = [f'{{"time":"{time}","level":"error"}}' for time in ("Feb 28 00:00:00", "Dec 24 00:00:00")] * 2
LATE = '{"log":"05:39:26 x\\n","stream":"stderr","time":"2026-11-22T05:39:27Z"}'
DATELESS = '{"log":"x\\n","stream":"stdout","time":"00:00:00"}'


@given(MIXED, st.lists(st.integers(0, 12), max_size=4), st.integers(0, 3000))
@settings(max_examples=examples(200), deadline=None)
@example([*["Jan  1 00:00:00 web app: x"] * 3, LATE, DATELESS], [], 0)
def test_whatever_was_decided_is_decided_again(lines, cuts, age):
    """Nothing is ahead, no two readings differ, and grouping has the instants that the rows have."""
    data = [f"{line}\n".encode() for line in lines]
    parser, found, errors, offset = FileParser(parsing()), [], [], 0
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        chunk = b"".join(data[begin:end])
        out = parser.feed(LineBatch(tailed(), offset, chunk, NOW, modified=NOW - age * DAY, final=end == len(data)))
        offset += len(chunk)
        assert [error.timestamp for error in out.errors] == [out.timestamps[error.index] for error in out.errors]
        found += out.timestamps
        errors += [out.parse_errors.get(row) for row in range(len(out))]
    assert max(found, default=0) <= NOW + DAY
    again = FileParser(parsing(), parser.profile, read_by=NOW, recorded=True)
    out = again.feed(LineBatch(tailed(), 0, b"".join(data), NOW, final=True))
    assert out.timestamps == found
    assert [out.parse_errors.get(row) for row in range(len(out))] == errors


@given(st.lists(MIXED, min_size=1, max_size=6), st.integers(0, 3000))
@settings(max_examples=examples(100), deadline=None)
def test_what_is_read_in_bulk_is_completed_like_what_is_not(lines, age):
    """Objects are taken together, whatever stands between them, and what holds them is put into order afterwards."""
    data = "".join(f"{line}\n" for some in lines for line in [*some, *OBJECTS]).encode()
    learner, found = FileParser(parsing()), []
    learner._look_ahead("\n".join(OBJECTS * 9).encode())
    for in_bulk in (True, False):
        parser = FileParser(parsing(), learner.profile)
        if not in_bulk:
            parser._bulk = parser._bulk_paths()._replace(runs=None)
        out = parser.feed(LineBatch(tailed(), 0, data, NOW, modified=NOW - age * DAY, final=True))
        found.append((columns(out), parser.profile.calendar))
    assert found[0] == found[1]
