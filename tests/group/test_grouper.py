"""Events get their groups; what a transaction adds is collected, bounded in memory, and storable whatever it is."""

import pytest

from agent.core.model import ErrorEvent
from agent.group import fingerprint, grouper
from agent.group.grouper import Grouper

MINUTE = 60 * 10**9
NOW = 1_795_000_000 * 10**9


def error(message="boom", *, timestamp=NOW, severity=17, **facts):
    return ErrorEvent(0, timestamp, severity, message, **facts)


def test_equal_troubles_share_a_group_and_are_counted_by_minute():
    groups = Grouper()
    ids = [groups.assign(error(f"user {n} gone", timestamp=NOW + n * MINUTE, severity=17 + n)) for n in range(3)]
    assert ids == [1, 1, 1]
    assert groups.assign(error("disk full")) == 2
    first, second = groups.take_updates()
    assert (first.id, first.count, first.first_seen, first.last_seen) == (1, 3, NOW, NOW + 2 * MINUTE)
    assert first.minutes == {NOW // MINUTE + n: 1 for n in range(3)}
    assert first.severity_number == 19
    assert (second.id, second.title, second.category) == (2, "disk full", "resource")
    assert groups.take_updates() == []


def test_an_older_event_moves_the_beginning_of_its_group():
    groups = Grouper()
    groups.assign(error())
    groups.assign(error(timestamp=NOW - MINUTE))
    [update] = groups.take_updates()
    assert (update.first_seen, update.last_seen) == (NOW - MINUTE, NOW)


def test_known_groups_keep_their_ids_and_new_ones_follow():
    groups = Grouper()
    groups.assign(error("one"))
    [update] = groups.take_updates()
    again = Grouper([(update.fingerprint, 41, 3)])
    assert again.assign(error("one")) == 41
    assert again.assign(error("two")) == 42


def test_each_transaction_describes_its_groups_whole():
    """So that a group which the store no longer has can be made again."""
    groups = Grouper()
    event = error("x", exception_type="E", logger="shop", service="cart")
    groups.assign(event)
    [first] = groups.take_updates()
    groups.assign(event)
    assert groups.take_updates() == [first]


def test_a_group_goes_on_with_its_template_after_a_restart():
    def message(number):
        return f"cannot load the plug-in {chr(97 + number) * 3} twice"

    first = Grouper()
    ids = [first.assign(error(message(number), logger="shop")) for number in range(15)]
    assert ids == [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1, 1, 1, 1, 1]
    updates = first.take_updates()
    assert updates[0].template == "message\nshop\ncannot load the plug-in <word> twice"
    assert updates[1].template == "message\nshop\ncannot load the plug-in bbb twice"
    again = Grouper(
        [(update.fingerprint, update.id, 3) for update in updates],
        [(update.fingerprint, update.template, update.last_seen, 3) for update in reversed(updates)],
    )
    assert again.assign(error(message(20), logger="shop")) == 1
    assert again.assign(error(message(1), logger="shop")) == 2
    assert [update.template for update in again.take_updates()] == [update.template for update in updates[:2]]


def test_a_template_that_only_a_continued_event_changed_is_stored_with_the_next_event():
    groups = Grouper()
    for number in range(9):
        groups.assign(error(f"cannot load the plug-in {chr(97 + number) * 3} twice"))
    groups.take_updates()
    assert groups.describe(error("cannot load the plug-in zzz twice")).template.endswith("plug-in <word> twice")
    assert groups.take_updates() == []
    groups.assign(error("cannot load the plug-in yyy twice"))
    assert [update.template[-20:] for update in groups.take_updates()] == ["plug-in <word> twice"]


def test_only_what_a_message_decides_has_a_template():
    groups = Grouper()
    trace = 'Traceback\n  File "a/b.py", line 1, in outer\nE: x\n'
    assert groups.describe(error(stacktrace=trace, exception_type="E")).template is None
    assert groups.describe(error(fingerprint="mine")).template is None
    assert groups.describe(error("a 1", exception_type="E")).template == "type\nE\na <*>"
    for _ in range(2):
        assert groups.describe(error("a 1", stacktrace="says nothing")).template == "message\n\na <*>"
    assert groups.describe(error("a 2")).id == groups.describe(error("a 3", stacktrace="says nothing")).id


def test_describing_counts_nothing():
    groups = Grouper()
    one = groups.describe(error("x"))
    assert groups.describe(error("x")) == one
    assert (one.count, one.minutes) == (1, {NOW // MINUTE: 1})
    assert groups.take_updates() == []
    assert groups.assign(error("x")) == one.id


def test_a_title_says_the_type_and_the_message_in_one_short_line():
    def title(message="m", **facts):
        return Grouper().describe(error(message, **facts)).title

    assert title("many\n  words\there") == "many words here"
    assert title(exception_type="E", exception_message="why") == "E: why"
    assert title("said", exception_type="E") == "E: said"
    assert title("cannot charge", exception_message="no card") == "cannot charge: no card"
    assert title("") == "(no message)"
    assert title(" \n") == "(no message)"
    assert len(title("x" * 5_000)) == 200


def test_the_culprit_is_the_innermost_frame_or_else_the_logger():
    def culprit(**facts):
        return Grouper().describe(error(**facts)).culprit

    python = 'Traceback\n  File "a/b.py", line 1, in outer\n  File "a/c.py", line 1, in inner\nE: x\n'
    java = "E: x\n\tat a.Inner.f(I.java:1)\n\tat a.Outer.g(O.java:1)\n"
    assert culprit(stacktrace=python, logger="l") == "a/c.py:inner"
    assert culprit(stacktrace=java, logger="l") == "a.Inner.f"
    php = "RuntimeException: boom in /srv/app/b.php:12\n#0 {main}"
    monolog = "RuntimeException: boom in /srv/app/a.php:12\n#0 /srv/app/b.php(3)"
    assert not str(culprit(stacktrace=php, logger="l")).endswith(":")
    assert str(culprit(stacktrace=monolog, logger="l")).endswith("b.php"), "a frame without a function"
    assert culprit(stacktrace="no frames", logger="l") == "l"
    assert culprit(logger="l") == "l"
    assert culprit() is None


def test_what_the_store_cannot_hold_is_made_holdable():
    """Lone surrogates, and names without end."""
    update = Grouper().describe(
        error("a\ud800b", exception_type="\udfff" + "x" * 500, logger="l\ud800", service="\ud800")
    )
    for text in (update.title, update.culprit, update.exception_type, update.service):
        text.encode()
        assert len(text) < 400
    assert update.title.startswith("\\udfff")


def test_the_memory_of_shapes_is_bounded_in_number_and_length(monkeypatch):
    groups = Grouper()
    for number in range(5_000):
        groups.assign(error(f"user {number}"))
    assert len(groups._cache) <= 4_096
    assert len(groups._miner._seen) <= 4_096
    monkeypatch.setattr(grouper, "_CACHE_CHARS", 10_000)
    for number in range(50):
        groups.assign(error(f"user {number}", stacktrace="x" * 3_000))
        assert sum(len(key[2] or "") for key in groups._cache) <= 10_000
    assert [update.count for update in groups.take_updates()] == [5_050]


def test_the_services_of_an_update_are_counted_and_can_be_stored():
    grouper = Grouper()
    for service in ("shop", None, "shop", "x" * 300, "a\ud800", "a\ud800", ""):
        grouper.assign(ErrorEvent(0, 0, 17, "boom", service=service))
    (update,) = grouper.take_updates()
    assert update.services == {"shop": 2, "": 2, "x" * 200: 1, "a\\ud800": 2}


def test_finding_gives_the_group_that_was_given_and_learns_nothing():
    groups = Grouper()
    trace = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    f()\nKeyError: 1\n'
    errors = [error(f"user {name} left the room") for name in ("ann", "bob", "cat", "dan", *"efghijk")]
    errors += [error("disk is full"), error("it broke", stacktrace=trace), error("whatever", fingerprint="mine")]
    for one in errors:
        groups.assign(one)
    updates = groups.take_updates()
    known = [(update.fingerprint, update.id, 3) for update in updates]
    templates = [(update.fingerprint, update.template, update.last_seen, 3) for update in updates if update.template]
    finder = Grouper(known, templates, learning=False)
    assert [finder.find(one) for one in errors] == [groups.assign(one) for one in errors]
    strangers = [
        error("never seen before"),
        error("neither", stacktrace=trace.replace("in f", "in g")),
        error("x", fingerprint="x"),
    ]
    assert [finder.find(one) for one in strangers * 2] == [None] * 6
    assert finder.take_updates() == []
    assert finder.find(error("user zoe left the room")) == groups.assign(error("user zoe left the room"))


GO = "main.(*Cart).Add\n\t/srv/shop/cart.go:12\nmain.main\n\t/srv/shop/main.go:7\n"


def test_errors_without_a_type_are_told_apart_by_what_they_say_where_their_frames_are_the_same():
    groups = Grouper()

    def said(message, stacktrace=GO):
        return groups.assign(error(message, stacktrace=stacktrace))

    assert [said(f"cannot charge order {n}") for n in range(3)] == [1, 1, 1]
    assert said("cannot refund order 1") == 2
    assert said("cannot charge order 1", GO.replace("Add", "Pay")) == 3
    assert groups.assign(error("cannot charge order 1", stacktrace=GO, exception_type="main.CardError")) == 4
    words = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "kite"]
    assert len({said(f"cannot find the {word} in the zoo") for word in words}) == 9, "many words are a value here too"
    assert groups.take_updates()[0].culprit == "main.(*Cart).Add"


@pytest.mark.parametrize("taken_for_a_type", [None, "main.main"])
def test_a_group_of_frames_alone_goes_on_with_the_first_message_that_comes(taken_for_a_type):
    """Up to version 2 the frames of an error without a type decided alone."""
    older = fingerprint.fingerprint(fingerprint.frames_shape(error(stacktrace=GO, exception_type=taken_for_a_type)))
    groups = Grouper([(older, 7, 2)])
    events = [error(text, stacktrace=GO) for text in ("cannot charge order 1", "cannot refund order 1")]
    assert [groups.assign(one) for one in events] == [7, 8]
    updates = groups.take_updates()
    assert (updates[0].fingerprint, updates[0].fingerprint_version) == (older, fingerprint.VERSION)
    again = Grouper(
        [(update.fingerprint, update.id, 3) for update in updates],
        [(update.fingerprint, update.template, update.last_seen, 3) for update in reversed(updates)],
    )
    assert [again.assign(one) for one in [*reversed(events), error("else", stacktrace=GO)]] == [8, 7, 9]


def test_an_error_without_a_type_is_no_other_of_one_with_the_same_frames():
    groups = Grouper()
    stack = 'Traceback (most recent call last):\n  File "shop/web.py", line 7, in handle\nValueError: user 1'
    assert groups.assign(error("x", stacktrace=stack, exception_type="ValueError")) == 1
    assert groups.assign(error("x", stacktrace=stack)) == 2
    [typed, _] = groups.take_updates()
    assert Grouper([(typed.fingerprint, 1, fingerprint.VERSION)]).assign(error("x", stacktrace=stack)) == 2


def test_a_template_of_older_rules_takes_the_messages_that_the_present_ones_give_it():
    older = "message\nshop\nread <*> (<*>) of settings.yaml for <word>"
    groups = Grouper([("mark", 7, 2)], [("mark", older, NOW, 2)])
    assert groups.assign(error("read 1190 bytes (1.16 KB) of other.yaml for anyone", logger="shop")) == 7
    [update] = groups.take_updates()
    assert update.template == "message\nshop\nread <*> of <*> for <word>"
    assert (
        Grouper([("mark", 7, 2)], [("mark", older, NOW, 3)]).assign(error("read 1 of a.yaml for b", logger="shop")) == 8
    )


def test_errors_that_are_nothing_but_pairs_are_told_apart_by_the_words_among_their_values():
    """What stands for the message of a record that has none, and lines of `key=value`."""
    groups = Grouper()
    messages = ["step=charge order=17", "step=charge order=18", "step=refund order=17", "step=charge user=ann",
                "step=charge user=bob"]  # fmt: skip
    assert [groups.assign(error(message)) for message in messages] == [1, 1, 2, 3, 3]
