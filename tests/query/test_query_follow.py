"""Following: every event once, in storage order, across idle times and a replaced store."""

import pytest

from agent.query.language import Selection, parse_query
from agent.query.sqlite import follow
from agent.query.sqlite.engine import SqliteEngine
from agent.store.reader import open_reader
from tests.query.stores import BASE, SECOND, EventRow, FileRow, add_events, make_store


class World:
    """A store file that steps change; each sleep between two looks at it runs the next step."""

    def __init__(self, path, steps, text="", **settings):
        self.path = path
        self.steps = iter(steps)
        self.sleeps = 0
        self.engine = SqliteEngine(open_reader(path), path, sleep=self.sleep, **settings)
        self.selection = Selection(parse_query(text))

    def sleep(self, seconds):
        assert seconds == follow.POLL_S
        self.sleeps += 1
        next(self.steps)()

    def shown(self):
        """What is yielded until the steps run out: numbers, and None after each batch."""
        found = []

        def collect():
            for item in self.engine.follow(self.selection, 0):
                found.append(None if isinstance(item, int) else item.fields["n"])  # noqa: PERF401 - it ends by an error

        with pytest.raises(RuntimeError):  # StopIteration of the steps inside a generator
            collect()
        self.engine.close()
        return found


def numbered(*numbers, **changes):
    return [EventRow({"n": n}, BASE - n * SECOND, **changes) for n in numbers]


def nothing():
    pass


def test_new_events_are_shown_once_in_the_order_of_storage(tmp_path):
    """Also with older timestamps; an idle store is not read."""
    writer = make_store(tmp_path / "s.db", numbered(1, 2))
    steps = [
        nothing,
        lambda: add_events(writer, numbered(3, 4)),
        nothing,
        lambda: add_events(writer, [EventRow({"n": 0, "skip": 1}), *numbered(5)]),
    ]
    world = World(tmp_path / "s.db", steps, "!skip")
    assert world.shown() == [1, 2, None, 3, 4, None, 5, None]
    assert world.sleeps == 5
    writer.close()


def test_a_replaced_store_is_followed_without_repeating(tmp_path, monkeypatch):
    """The new store reads the same lines again; those already dealt with are left out, newer ones shown."""
    path = tmp_path / "s.db"
    old = make_store(path, [EventRow({"n": n}, offset=10 * n) for n in range(3)], [FileRow(inode=5, offset=30)])
    stores = [old]

    def remove():
        old.close()
        for name in ("s.db", "s.db-wal", "s.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)

    def half_made():
        path.write_bytes(b"")

    def renew():
        path.unlink()
        rows = [EventRow({"n": n}, offset=10 * n) for n in range(4)]
        stores.append(
            make_store(path, [*rows, EventRow({"n": 100}, file=2)], [FileRow(inode=5, offset=40), FileRow(inode=6)])
        )

    def grow():
        """A generation of the file that begins at 0 again is not mistaken for lines already shown."""
        add_events(stores[-1], [EventRow({"n": 200}, offset=0)])

    world = World(path, [nothing, remove, half_made, renew, nothing, grow], look_s=0.0)
    assert [n for n in world.shown() if n is not None] == [0, 1, 2, 3, 100, 200]
    stores[-1].close()
