"""Users' regular expressions: the same meaning on either road, and an end on every text."""

import contextlib
import pickle
import re
import signal
import subprocess
import sys

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.core.errors import SidelogError
from agent.core.expressions import LIVE_BUDGET_S, Expression, TimeBudget, UndecidedError, wrong_with
from agent.core.expressions.cost import NoBoundError, match_steps, safe_length, search_steps
from agent.core.expressions.literal import required_letters
from agent.core.expressions.text import as_regex
from agent.core.expressions.tree import read
from agent.core.expressions.trial import TooManyStepsError, _Matcher, count_steps, hard_text

pytestmark = pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")  # `[[:a]` may be one some day

ENDLESS = r"^(?:(?:x|xx)+)+$"  # `regex` knows no shortcut for it either
POISON = "x" * 60 + "!"

ATOMS = st.sampled_from([
    *"abkKsS1_ .-é", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", ".", "[a-c]", "[^a]", r"[^\s]", r"[\w-]", r"[^\Wb]",
    r"[a\S]", r"[\W\S]", "[[:a]", "É", "[é-ü]", "ß", "ſ", "İ", "ı", "\u212a", r"\n", r"\.", "{e}", "{i<=1}", "[k-s1]",
    "[a-z]", "[A-Z]", "^", "$", r"\b", r"\B", r"\A", r"\Z",
])  # fmt: skip
TEXTS = st.text("abkKsS1_ .-\n\x1céÉüßſİıK5e{}\u0301", max_size=12)
PLAIN_TEXTS = st.text("abk1 .\n_", max_size=20) | st.builds("{0}!".format, st.text("x", max_size=20))


def _grown(inner):
    quantifiers = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{0,70}", "*?", "+?", "??", "*+", "++", "?+"])
    around = st.sampled_from(
        ["(", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?s:", "(?-i:", "(?m:", "(?P<n>", "(?x:"]
    )
    return (
        st.builds(lambda a, b: a + b, inner, inner)
        | st.builds("(?:{}|{})".format, inner, inner)
        | st.builds("(?:{}){}".format, inner, quantifiers)
        | st.builds("{}{})".format, around, inner)
        | st.builds("(a)?{}(?(1)b|c)".format, inner)
    )


EXPRESSIONS = st.builds(
    lambda flags, text: flags + text,
    st.sampled_from(["", "", "(?i)", "(?m)", "(?s)", "(?a)", "(?im)"]),
    st.recursive(ATOMS, _grown, max_leaves=12),
)


def compiled(text):
    try:
        return re.compile(text)
    except re.error:
        return assume(condition=False)


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, st.lists(TEXTS, min_size=1, max_size=6))
def test_both_roads_find_the_same(text, subjects):
    pattern = compiled(text)
    assume(not wrong_with(text))
    for method, at_start in ((pattern.search, False), (pattern.match, True)):
        expression = Expression(text, at_start=at_start)
        expression._safe_length = -1  # nothing goes to `re`
        for subject in subjects:
            try:
                count_steps(read(text), subject)
                wanted = method(subject)
            except (TooManyStepsError, RecursionError, SystemError):  # `re` would be stuck, or has a bug of its own
                continue
            found = expression._search(subject)
            assert (found and found.span()) == (wanted and wanted.span()), (subject, as_regex(text))


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, st.lists(PLAIN_TEXTS, min_size=1, max_size=6))
def test_no_search_takes_more_steps_than_its_bound(text, subjects):
    """Against a matcher that tries one way after another, without any of the shortcuts of `re`."""
    compiled(text)
    try:
        bound = search_steps(text)
    except NoBoundError:
        return
    for subject in subjects:
        most = sum(factor * len(subject) ** power for power, factor in enumerate(bound))
        try:
            assert count_steps(read(text), subject) <= most, subject
        except TooManyStepsError:
            assert most > 50_000, subject


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, st.sampled_from(["", ".*", ".*$", r".+\Z"]), st.lists(PLAIN_TEXTS, min_size=1, max_size=6))
def test_no_match_at_the_beginning_of_a_line_takes_more_steps_than_its_bound(text, rest, lines):
    compiled(text := text + rest)
    try:
        bound = match_steps(text)
    except NoBoundError:
        return
    for line in (one.replace("\n", " ") for one in lines):
        matcher = _Matcher(line, 50_000)
        with contextlib.suppress(TooManyStepsError):
            next(matcher.row(read(text), 0, 0), None)
        assert matcher.steps <= max(1, sum(factor * len(line) ** power for power, factor in enumerate(bound))), line


@pytest.mark.parametrize(
    "text",
    [
        r"^\d{4}-\d\d-\d\d ", r"timeout after \d+ms", "connection (refused|reset)", "(?i:fail)",
        r"^(\S+) (\S+) \[error\]", r"user=(?P<user>\w+) ", r"(?i)took \d+ms", "[.]$", r"\bERROR\b", "",
        "^(?=.*foo)(?=.*bar)",
    ],
)  # fmt: skip
def test_usual_expressions_are_linear_and_stay_with_re(text):
    assert safe_length(text) == float("inf")
    assert Expression(text, TimeBudget(0.0)).search.__self__ == re.compile(text)
    assert hard_text(text) is None


@pytest.mark.parametrize(
    "text",
    [
        r"^invalid address: ([a-z0-9]+)+@example\.net$", "(a+)+b", ENDLESS, r"^(\w+\s?)*$", "(.*?,){25}P", "(a|a)*b",
        "(a|b|ab)*c", "(x+x+)+y", "^(?=(a+)+b)", "(?:é+)+z", "^((ab)*)+$", "(a?){25}a{25}", ".*.*.*.*=.*",
        "(?i)([A-Z]+)+=",
    ],
)  # fmt: skip
def test_what_explodes_is_found_and_has_no_bound(text):
    assert safe_length(text) < 30
    assert hard_text(text) is not None


@pytest.mark.parametrize(
    "text", [r"\s+$", "foo.*bar", r"(?:\d{1,3}\.){3}\d{1,3}", r'"([^"\\]|\\.)*"', r"(?:foo|bar)+baz", r"(\w+)\1x"]
)
def test_what_is_slow_on_long_texts_alone_is_no_warning(text):
    assert hard_text(text) is None


def is_undecided(expression, text):
    try:
        expression.search(text)
    except UndecidedError:
        return True
    return False


def test_a_text_that_takes_too_long_is_undecided_and_others_are_decided():
    expression = Expression(ENDLESS, TimeBudget(LIVE_BUDGET_S))
    for _ in range(30):  # more than the budget
        assert is_undecided(expression, POISON)
        assert expression.search("x" * 9)
        assert not expression.search("y" * 9)
    for _ in range(100):
        assert is_undecided(expression, POISON)
    # A glance may fail where the processor does something else meanwhile; it does not each time.
    assert any(not is_undecided(expression, "x" * 9) for _ in range(100))
    assert expression.search("x" * 9)


def test_a_command_fails_with_a_code_that_goes_from_process_to_process():
    with pytest.raises(SidelogError) as caught:
        Expression(ENDLESS).search(POISON)
    assert (caught.value.code, caught.value.exit_code) == ("SL524", 1)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), vars(again), str(again)) == (SidelogError, vars(caught.value), str(caught.value))


def test_all_of_a_long_text_is_seen():
    text = "word " * 80_000 + "end."
    assert Expression("[.]$").search(text)
    assert Expression(r"word.*end[.]$").search(text)
    assert not Expression(r"\s+$").search(text)
    assert Expression(r"\s+$").search(text + " ")


def test_the_budget_is_spent_and_comes_back():
    now = 0.0
    budget = TimeBudget(0.5)
    first = budget.limit_s(40, now)
    assert 0.05 < first < 0.0505
    now += first
    budget.spend(40, first)
    limits = []
    for _ in range(200):  # all of them together take no more than there is
        limits.append(budget.limit_s(40, now))
        now += limits[-1]
        budget.spend(40, limits[-1])
    assert limits == sorted(limits, reverse=True)
    assert now < 0.6
    assert 0 < limits[-1] < 40e-6  # a short text is always tried
    budget.spend(40, 1.0)  # one step that took far too long
    assert budget.limit_s(5_000, now) == 0.0
    assert budget.limit_s(40, now) < 25e-6
    now += 100.0
    assert budget.limit_s(40, now) == first


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(", "missing )"), ("x" * 1_001, "1001 characters"), ("(" * 9 + "a" + ")+" * 9, "8 deep"),
        ("(?:" * 9 + "a" + "|b){1,9}" * 9, "8 deep"), ("(?>" * 9 + "a" + ")*" * 9, "8 deep"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(text, why):
    assert why in wrong_with(text)


@pytest.mark.parametrize("text", ["a" * 1_000, "(" * 8 + "a" + ")+" * 8, "(?:a+|b+)*", ""])
def test_what_can_be_used_is_not(text):
    assert not wrong_with(text)


def test_ctrl_c_is_heard_while_an_expression_is_tried():
    """`regex` looks for signals now and then; the limit here is hours."""
    code = (
        "from agent.core.expressions import *\n"
        f"expression = Expression({ENDLESS!r}, TimeBudget(1e6))\n"
        "expression.search('x' * 12)\nprint('begins', flush=True)\n"
        f"expression.search({POISON!r})\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begins\n"
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=60)[1]


# ---------------------------------------------------------------- what stands in each match


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("time(out)? after", ("after", False)),
        ("(?:time)(?P<x>out)", ("timeout", False)),
        ("[0-9]{5} results", ("results", False)),
        ("(?i)timeout", ("meout", True)),  # İ is an i in any case
        ("(?i:K)afka and more", ("afka", False)),
        ("ab|cdef", None),
        ("a.b", None),
        ("(?!error)x", None),
        ("größe", None),
        ("", None),
    ],
)
def test_the_letters_of_an_expression(text, letters):
    assert required_letters(text) == letters


@given(st.data())
def test_each_match_holds_the_letters(data):
    text = data.draw(st.sampled_from([
        "time(out)? after", r"(?i:sick\s+kernel) (\d+)", "(?:ab|cd)?order[ _]number", "(?s)err.*or(s+)", "(a|the)end",
        r"(?i)x{2,3}connection\b", "(?i:un)Known", "(?ix) no t e",
    ]))  # fmt: skip
    found = data.draw(st.from_regex(text))
    letters = required_letters(text)
    if letters is not None:
        assert letters.text.lower() in found.lower() if letters.folded else letters.text in found
