"""Messages are placed at once and for good, whatever was forgotten or restarted in between; and memory is bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.group import miner
from agent.group.miner import WORD, Miner, Template, parse


class Store:
    """What the store keeps of groups, and miners on it."""

    def __init__(self):
        self.groups = {}  # fingerprint -> group
        self.rows = {}  # group -> [fingerprint, text, last_seen]
        self.miner = None
        self.start()

    def group_of(self, mark):
        return self.groups.setdefault(mark, len(self.groups) + 1)

    def start(self):
        known = sorted(self.rows.items(), key=lambda row: (row[1][2], row[0]), reverse=True)
        self.miner = Miner(self.group_of, [tuple(row) for _, row in known[: miner.TEMPLATES]])

    def place(self, message, timestamp=0, kind="message", name="app"):
        found = self.miner.place(kind, name, message, timestamp)
        row = self.rows.setdefault(found.group, [found.fingerprint, found.text, timestamp])
        row[1:] = [found.text, max(row[2], timestamp)]
        return found.group

    def state(self):
        return sorted(one.text for one in self.miner._exact.values())


def letters(number):
    """A word that no rule takes for a value."""
    return "z" + "".join(chr(97 + int(digit)) for digit in str(number))


def test_values_and_kinds_of_errors_decide():
    store = Store()
    one = store.place("user 1 gone")
    assert store.place("user 2 gone") == one
    assert store.place("user 2 came") != one
    assert store.place("user 2 gone", name="other") != one
    assert store.place("user 2 gone", kind="type") != one


def test_few_words_in_a_column_are_different_troubles_and_many_are_values():
    store = Store()
    groups = [store.place(f"cannot load the plug-in {letters(number)} twice") for number in range(30)]
    assert groups[:9] == list(range(1, 10)), "nine are not enough to know"
    assert set(groups[9:]) == {1}, "the oldest takes all that follow"
    assert store.rows[1][1] == f"message\napp\ncannot load the plug-in {WORD} twice"
    assert [store.place(f"cannot load the plug-in {letters(number)} twice") for number in range(9)] == groups[:9]


def test_what_was_placed_stays_where_it_is():
    """The group of a template that is generalised keeps its id, and so do the groups of those that were alike."""
    store = Store()
    for number in range(9):
        store.place(f"cannot load the plug-in {letters(number)} twice")
    mark = store.rows[1][0]
    assert store.place("cannot load the plug-in anything twice") == 1
    assert store.rows[1][0] == mark
    assert store.place("cannot load the plug-in 17 twice") == 1, "a value is covered too"


def test_several_columns_can_be_values():
    store = Store()
    groups = [
        store.place(f"user {letters(n)} of the shop could not open the cart {letters(n * 7)} at all") for n in range(20)
    ]
    assert len(set(groups)) == 9
    assert store.rows[1][1].endswith(f"user {WORD} of the shop could not open the cart {WORD} at all")


@pytest.mark.parametrize(
    "pattern",
    ["{} alone", "{}", "ends {0} {0}", "17 {} 18", "{}: {}"],
)
def test_too_little_in_common_is_no_template(pattern):
    store = Store()
    groups = {store.place(pattern.format(letters(number), letters(number + 1))) for number in range(40)}
    assert len(groups) == 40


@pytest.mark.parametrize(
    "texts",
    [
        [
            "synchronized to 10.0.0.1, stratum 3",
            "synchronized to LOCAL(0), stratum 10",
            "synchronized to #3#, stratum 1",
        ],
        ["shop:80 is down", "10.0.0.1:80 is down", "cart:80 is down"],
        ["writes (of x:7) to [a 5]", "writes (of 9) to [a 5]", "writes (of y:5) to [a 5]"],
    ],
)
def test_values_that_look_different_are_values(texts):
    """In any order that has the plain one among the first two."""
    for order in (texts, [texts[1], texts[0], texts[2]]):
        store = Store()
        assert [store.place(text) for text in order] == [1, 1, 1]
        store.start()
        assert [store.place(text) for text in reversed(order)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a:1 failed", "b:1 failed"),
        ("code=5 failed", "5 failed"),
        ("x:1", "1"),
        ("(1 failed", "x:1 failed"),
        ("a 1", "b 1"),
    ],
)
def test_values_with_different_names_stay_apart(one, other):
    store = Store()
    assert store.place(one) != store.place(other)


def test_columns_with_few_words_keep_them_apart():
    """`started` and `stopped` stay two, though the service is a value."""
    store = Store()
    for number in range(40):
        for what in ("started", "stopped"):
            store.place(f"the service named {letters(number)} was {what}")
    general = sorted(row[1] for row in store.rows.values() if WORD in row[1])
    assert general == [f"message\napp\nthe service named {WORD} was {what}" for what in ("started", "stopped")]
    assert store.place("the service named new was started") != store.place("the service named new was stopped")


def test_what_is_alike_in_pairs_only_is_no_template():
    """Three of five columns would be values: too little is left in common."""
    store = Store()
    for column in range(3):
        for number in range(5):
            words = ["cannot", "load", "the", "plug-in", "twice"]
            words[column] = letters(100 * column + number)
            store.place(" ".join(words))
    assert [row[1] for row in store.rows.values() if WORD in row[1]] == [
        f"message\napp\n{WORD} {WORD} the plug-in twice"
    ]


def test_a_template_can_be_generalised_again():
    store = Store()
    for number in range(20):
        store.place(f"the host {letters(number)} did not say why it left the shop")
    for number in range(20):
        store.place(f"the host {letters(number)} did not say why it left the {letters(number * 3)}")
    texts = [row[1] for row in store.rows.values()]
    assert f"message\napp\nthe host {WORD} did not say why it left the {WORD}" in texts


def test_a_stored_template_is_what_it_was():
    one = Template(("type", "a\nb"), ("x", WORD, "<*>"), "f", 1, 0)
    assert parse(one.text) == (one.scope, one.words)
    assert parse("") is None
    assert parse("message\nonly") is None


def test_what_is_stored_of_templates_may_be_damaged():
    assert len(Miner(lambda _: 1, [("f", "", 0), ("g", "message\n\nx", 0), ("h", "message\n\nx", 0)])) == 1


def test_lone_surrogates_are_placed_and_come_back():
    store = Store()
    group = store.place("caf\u00e9 \ud800 17", name="\udfff")
    store.rows[group][1].encode()
    store.start()
    assert store.place("caf\u00e9 \ud800 18", name="\udfff") == group


def test_of_very_long_messages_the_beginning_counts():
    store = Store()
    one = store.place("word " * 150 + "a")
    assert store.place("word " * 150 + "b") == one
    assert len(store.rows[one][1]) < 1_000


def test_memory_is_bounded_and_the_longest_idle_goes_first(monkeypatch):
    monkeypatch.setattr(miner, "TEMPLATES", 50)
    monkeypatch.setattr(miner, "_SEEN", 60)
    store = Store()
    kept = store.place("always there", 0)
    for number in range(500):
        store.place(f"{letters(number)} {letters(number)}", number)
        assert store.place("always there", number) == kept
        assert len(store.miner) <= 50
        assert len(store.miner._heap) <= 50
        assert sum(len(leaf.templates) for leaf in store.miner._leaves.values()) <= 50
        assert max(len(store.miner._seen), len(store.miner._sketched)) <= 60
    assert "message\napp\nalways there" in store.state()
    assert store.place(f"{letters(3)} {letters(3)}", 501) == 1 + kept + 3, "the group is found again"


def test_what_is_older_than_all_is_placed_too(monkeypatch):
    monkeypatch.setattr(miner, "TEMPLATES", 2)
    store = Store()
    assert [store.place(text, when) for text, when in [("a", 9), ("b", 8), ("c", 1), ("c", 2), ("a", 9)]] == [
        1,
        2,
        3,
        3,
        1,
    ]
    assert store.state() == ["message\napp\na", "message\napp\nb"]


subjects = st.sampled_from([letters(number) for number in range(14)] + ["17", "x", "x:17", "y:17", "#17#", "[17]"])
messages = st.one_of(
    st.builds("cannot open the {} of it".format, subjects),
    st.builds("the {} of {} is not there now".format, subjects, subjects),
    st.builds("{} {}".format, subjects, subjects),
    st.builds("{} was started by the {} here".format, st.sampled_from(["shop", "cart"]), subjects),
)
streams = st.lists(st.tuples(messages, st.integers(0, 9), st.booleans()), max_size=120)


@settings(max_examples=150, deadline=None)
@given(streams, st.sampled_from([3, 8, 5_000]))
def test_a_restart_changes_nothing(stream, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(miner, "TEMPLATES", limit)
        patch.setattr(miner, "_ALIKE", 4)
        patch.setattr(miner, "_VARIED", 3)
        steady, restarted = Store(), Store()
        for message, timestamp, restart in stream:
            if restart:
                restarted.start()
                assert restarted.state() == steady.state()
            assert restarted.place(message, timestamp) == steady.place(message, timestamp)
        assert restarted.rows == steady.rows


@settings(max_examples=150, deadline=None)
@given(streams)
def test_look_ups_change_nothing(stream):
    """The slow twin: every message is placed as if none had been seen before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(miner, "_ALIKE", 4)
        patch.setattr(miner, "_VARIED", 3)
        quick, slow = Store(), Store()
        for message, timestamp, _ in stream:
            slow.miner._forget()
            assert quick.place(message, timestamp) == slow.place(message, timestamp)


@settings(max_examples=150, deadline=None)
@given(st.lists(messages, max_size=8), st.randoms(use_true_random=False))
def test_order_does_not_matter_while_nothing_is_generalised(texts, random):
    def partition(order):
        store = Store()
        groups = {}
        for text in order:
            groups.setdefault(store.place(text), set()).add(text)
        return {frozenset(group) for group in groups.values()}

    shuffled = list(texts)
    random.shuffle(shuffled)
    assert partition(texts) == partition(shuffled)
