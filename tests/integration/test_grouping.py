"""Groups over restarts of a real agent: what it learnt of messages is still known."""

from tests.integration.harness import append, event
from tests.integration.oracle import change_store


def messages(box, names):
    """Store an error per name, each by an agent of its own; the group of each."""
    for name in names:
        append(box.log, event(1, "error", f"cannot load the plug-in {name} twice"))
        assert box.once().returncode == 0
    return [group for (group,) in box.sql("SELECT group_id FROM events ORDER BY id")]


def test_a_column_that_holds_many_words_is_recognised_over_restarts(box):
    names = [
        "anchor",
        "basket",
        "candle",
        "dragon",
        "engine",
        "forest",
        "garden",
        "hammer",
        "island",
        "jungle",
        "kettle",
    ]
    assert messages(box, names) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1]
    assert box.sql("SELECT template, count FROM error_groups WHERE id = 1") == [
        ("message\n\ncannot load the plug-in <word> twice", 3)
    ]
    assert messages(box, ["basket", "lantern"])[-2:] == [2, 1]


def test_errors_of_an_older_version_keep_their_groups(box):
    """A store without templates: a new message finds the group whose fingerprint is that of its text."""
    assert messages(box, ["anchor"]) == [1]
    change_store(box, "UPDATE error_groups SET template = NULL, fingerprint_version = 1")
    assert messages(box, ["anchor", "basket"]) == [1, 1, 2]
