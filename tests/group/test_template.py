"""Values are masked, words stay; and masking what is masked changes nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.group import template
from agent.group.template import _words, mask, sketch

MASKED = [
    # numbers, and identifiers with a digit in them
    ("user 42 not found", "user <*> not found"),
    ("took 12.5 ms", "took <*>"),
    ("took 15ms at 99.9%", "took <*> at <*>"),
    ("took 2 minutes, waited 3 h", "took <*>, waited <*>"),
    ("free 1.5 GiB (12 %)", "free <*>"),
    ("1190 bytes (1.16 KB) sent, 0 bytes received", "<*> sent, <*> received"),
    ("deny(1) of 3 (4)", "deny(<*>) of <*>"),
    ("5 items", "<*> items"),
    ("offset -17", "offset <*>"),
    ("lifetime <1 sec", "lifetime <*>"),
    ("order 550e8400-e29b-41d4-a716-446655440000 failed", "order <*> failed"),
    ("at 0x7f3a2b deadbeef99", "at <*>"),
    ("commit 3f2a9c81d0 failed", "commit <*> failed"),
    ("job_17 of queue-3: node[4] is gone.", "<*> of <*>: node[<*>] is gone."),
    ("speeds ( 3552 3534 **** 3375 )", "speeds ( <*> )"),
    ("ids 1, 2, 3", "ids <*>"),
    ("(uid=0) by root(uid=0)", "(uid=<*>) by root(uid=<*>)"),
    # addresses, dates, paths
    ("mail to ann.lee+x@mail.example.org bounced", "mail to <*> bounced"),
    ("GET https://shop.example/cart?id=7 gave 500", "GET <*> gave <*>"),
    ("connect to 10.0.0.1:5432 refused", "connect to <*> refused"),
    ("connect to localhost:5432 refused", "connect to <*> refused"),
    ("connect to db.shop.internal: refused", "connect to <*>: refused"),
    ("proxy.shop.example:80 is down", "<*> is down"),
    ("from 00:11:43:e3:ba:c3 via eth1", "from <*> via <*>"),
    ("peer fe80::c6b3:1ff:fecd:467f left", "peer <*> left"),
    ("peer [2001:db8::1]:5432, ::1 and [::ffff:10.0.0.1] left", "peer <*> and <*> left"),
    ("from 88:75:56:a0:95:ed, ff:ff:ff:ff:ff:ff", "from <*>"),
    ("std::bad::cafe [a:b] a::b", "std::bad::cafe [a:b] a::b"),
    ("since 2026-11-22T05:00:00.123Z", "since <*>"),
    ("on 2026-11-22 05:00:00,123", "on <*>"),
    ("at Sun Jul 10 03:55:15 2005", "at <*>"),
    ("at Sun, 10 Jul 2005 03:55:15 GMT", "at <*>"),
    ("expired 10-Jul-2005", "expired <*>"),
    ("cannot open /var/lib/app/data.db", "cannot open <*>"),
    ("cannot open C:\\app\\data.db", "cannot open <*>"),
    ("cannot open ../data and ~/data", "cannot open <*> and <*>"),
    ("path=/var/lib/app: denied", "path=<*>: denied"),
    ("cannot read settings.yaml, .env.json or app.LOG", "cannot read <*> or <*>"),
    ("cart.Log.json.Reader is null", "cart.Log.json.Reader is null"),
    # quoted text and assigned values
    ('no key "user_17"', "no key <*>"),
    ("no key 'it'", "no key <*>"),
    ("no key `it`", "no key <*>"),
    ("can't find what isn't there", "can't find what isn't there"),
    ('"GET /cart HTTP/1.1" failed', "GET <*> failed"),
    ('"POST /cart HTTP/1.1" failed', "POST <*> failed"),
    ("tty=ssh ruser= rhost=shop user=root", "tty=ssh ruser= rhost=<*> user=<*>"),
    ("moved =  false", "moved = <*>"),
    ("step=charge, provider=till order=17 ok=true", "step=charge, provider=till order=<*> ok=<*>"),
    ("step=charge of provider=till order=17", "step=<*> of provider=<*> order=<*>"),
    ("drawn= False, moved= true", "drawn= <*>, moved= <*>"),
    ("x = a = b", "x = <*> = <*>"),
    ("nodes node-[1-5,7] are down", "nodes <*> are down"),
    ("a == b, c >= d, e => f", "a == b, c >= d, e => f"),
    ("read failed error=timeout", "read failed error=timeout"),
    ("read failed code = EIO", "read failed code = EIO"),
    ('read failed error="timed out" path="x y"', 'read failed error="timed out" path=<*>'),
    ("peer 10.0.0.1 () left", "peer <*> left"),
    ("in state 'Active' since 3 h", "in state 'Active' since <*>"),
    ("in state '17' of 'Active'", "in state <*> of <*>"),
    ("tags [red, green blue] or [red,green, blue] and {a, b}", "tags [red, green blue] or [<*>] and {<*>}"),
    ("(a, b)", "(a, b)"),
    # names
    ("session closed for user ann", "session closed for user <*>"),
    ("Invalid user ann from 10.0.0.1", "Invalid user <*> from <*>"),
    ("Failed password for ann from 10.0.0.1 port 22", "Failed password for <*> from <*> port <*>"),
    ("Failed password for invalid user ann", "Failed password for invalid user <*>"),
    ("unknown column price in query", "unknown column <*> in query"),
    ("table order_items has no column unit_price", "table <*> has no column <*>"),
    ("domain root_domain is gone, domain name is not", "domain <*> is gone, domain name is not"),
    ("key is_valid(x) is gone", "key is_valid(x) is gone"),
    ("duplicate key value violates unique constraint", "duplicate key value violates unique constraint"),
    ("closed for user is gone", "closed for user is gone"),
    ("check pass; user unknown", "check pass; user unknown"),
    # nothing of that
    ("nothing to hide", "nothing to hide"),
    ("facade decade", "facade decade"),
    ("utf8 is not a number, nor is IPv6", "utf8 is not a number, nor is IPv6"),
    ("and/or read/write", "and/or read/write"),
    ("com.example.CartError: boom", "com.example.CartError: boom"),
    ("  many\n\twords  ", "many words"),
    ("", ""),
]


@pytest.mark.parametrize(("message", "template"), MASKED)
def test_values_are_masked_and_words_stay(message, template):
    assert mask(message) == template


@pytest.mark.parametrize("message", [message for message, _ in MASKED])
def test_a_template_is_its_own_template(message):
    assert mask(mask(message)) == mask(message)


words = st.sampled_from(
    [
        "a", "user", "for", "Invalid", "ann", "17", "x9", "KiB", "ms", "=", "k=v", "error=no", "(", ")", "()", "[]",
        "<", "-", ",", ":", ";", ".", "..", "/", "/a", "a/b/c", "\\", "@", "a@b", '"', "'", "`", "<*>", "\0", "Jul",
        "Sun,", "10:11", "::", "a.com", "a.b:", "**", "http://x", "é", "\ud800", "٣", "utf8", "%", "|", "#", "password",
        "GET", "the",
    ]
)  # fmt: skip
messages = st.lists(st.tuples(words, st.sampled_from(["", " ", " ", "\n"])), max_size=14).map(
    lambda parts: "".join(word + blank for word, blank in parts)
)


@settings(max_examples=500, deadline=None)
@given(messages)
def test_masking_is_idempotent_and_remembers_nothing_that_matters(message):
    once = mask(message)
    assert mask(once) == once
    _words.reset()
    assert mask(message) == once


@settings(max_examples=300, deadline=None)
@given(messages, messages)
def test_messages_that_look_equal_after_one_round_have_one_template(one, other):
    if sketch(one) == sketch(other):
        assert mask(one) == mask(other)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**12), st.integers(0, 10**12), st.sampled_from(["user {} is gone", "id={}", "({})", "a {}, b"]))
def test_numbers_never_split_a_group(one, other, template):
    assert mask(template.format(one)) == mask(template.format(other))


def forget():
    """As in a new process."""
    _words.reset()
    template._sketches.clear()
    template._joined.clear()


numbered = st.lists(
    st.one_of(
        st.sampled_from(
            [*template._NAMES_WITH_DIGITS, "utf9", "IPv5", "s4", "x509,", "user", "for", "code=", "'", "-"]
        ),
        st.from_regex(r"[a-c=:/.]{0,2}[0-9]{1,2}[a-c]{0,2}", fullmatch=True),
    ),
    max_size=6,
).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(numbered, st.randoms(use_true_random=False)), max_size=5))
def test_what_is_remembered_of_other_messages_changes_no_sketch(some):
    """Each message comes with others that differ from it in digits alone."""
    texts = [
        text
        for message, random in some
        for text in (message, "".join(str(random.randrange(10)) if c.isdigit() else c for c in message), message)
    ]
    forget()
    found = [sketch(text) for text in texts]
    for text, one in zip(texts, found, strict=True):
        forget()
        assert sketch(text) == one


def test_messages_that_differ_in_digits_are_worked_out_once():
    forget()
    assert {sketch(f"order {number} took {number % 10} ms") for number in range(10, 100)} == {
        sketch("order 1 took 2 ms")
    }
    assert len(template._sketches) == 2
    assert len(template._joined) == 1
    assert sketch("wants md5 not md6") == "wants md5 not \0"
    assert sketch("wants md6 not md5") == "wants \0 not md5"


def test_what_is_remembered_is_bounded():
    for number in range(5_000):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        sketch(f"{word} is 7")
        sketch(f"{word} {'x' * 300}")
    assert max(len(template._sketches), len(template._joined)) <= 2_048
    assert max(map(len, template._sketches)) <= 300
    assert max(map(len, template._joined)) <= 300


HOSTILE = [
    '"', "'", "0", ".", "a.", "0.", "/a", " ", "(", "=", "0:", "a:", "0 ", "@a.", "-", "\0", "\0 ", "\0:", "for user ",
    "Sun Jul ", "= a ", "k=", "https://", "0 x ", "[a,", "[a, ", "::", "ff:", "[::", "0 (",
    "table a_", "a.log", "state '",
]  # fmt: skip


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_text_ends(pattern):
    """A megabyte of anything: what is quadratic in it would take minutes."""
    text = pattern * (1_000_000 // len(pattern))
    for message in (text, "x" + text, text + "x"):
        assert len(mask(message)) < 10_000


def test_the_memory_of_words_is_bounded():
    for number in range(40_000):
        mask("word_" + "".join(chr(97 + int(digit)) for digit in str(number)))
    assert len(_words) < 10_000
    assert mask("utf8") == "utf8"
