"""A word of a message is no level: of a hundred thousand lines that have none, one in a thousand may be taken so."""

from collections import Counter

from agent.parse.formats.text import find_head
from tests.parse.prose import lines


def test_prose_and_access_logs_have_no_severity():
    found = Counter()
    for line in lines(100_000):
        if find_head(line).severity:
            found[line] += 1
    assert found.total() <= 100, found.most_common(20)


def test_a_mailbox_of_instants_is_no_error():
    """The same sentences behind an instant, as a program logs them that has no levels."""
    found = [line for line in lines(20_000, seed=7) if find_head(f"2026/11/22 05:39:26 {line}").severity]
    assert len(found) <= 20, found[:20]
