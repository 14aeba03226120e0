"""The query language as text: what reads as what, what is refused and where, and that it prints what it read."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.errors import UsageError
from agent.query.language import Query, all_equal, parse_query, parse_terms, severity_query
from agent.query.syntax import QueryError, read_names
from agent.query.terms import Parentheses, Term
from tests.query.cases import parts_of


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("payment", [Term(None, "", "payment")]),
        ("low disk", [Term(None, "", "low"), Term(None, "", "disk")]),
        ('"low disk"', [Term(None, "", "low disk")]),
        ('!"low disk"', [Term(None, "", "low disk", negated=True)]),
        ("http.status>=500", [Term("http.status", ">=", "500")]),
        ("!user=ann", [Term("user", "=", "ann", negated=True)]),
        ("user!=ann", [Term("user", "!=", "ann")]),
        ("a!b=c", [Term("a!b", "=", "c")]),
        ("user=", [Term("user", "=", "")]),
        ('user=""', [Term("user", "=", "")]),
        ("x==5", [Term("x", "=", "=5")]),
        ('message="a \\"b\\" \\\\ \\d"', [Term("message", "=", 'a "b" \\ \\d')]),
        ('say"x', [Term(None, "", 'say"x')]),
        (
            'http.status>=500 "gate way" !retry',
            [Term("http.status", ">=", "500"), Term(None, "", "gate way"), Term(None, "", "retry", negated=True)],
        ),
        ('"Response Code">=500', [Term("Response Code", ">=", "500")]),
        ('!"Response Code"="a b"', [Term("Response Code", "=", "a b", negated=True)]),
        ('"a \\"b\\""!=c', [Term('a "b"', "!=", "c")]),
        ("user=a*", [Term("user", "=", "a", prefix=True)]),
        ("user=*", [Term("user", "=", "", prefix=True)]),
        ("user!=a*", [Term("user", "!=", "a", prefix=True)]),
        ('user="a b"*', [Term("user", "=", "a b", prefix=True)]),
        ('user="a*"', [Term("user", "=", "a*")]),
        ("user=a**", [Term("user", "=", "a*", prefix=True)]),
        ("user=a*b", [Term("user", "=", "a*b")]),
        ("user>a* a*", [Term("user", ">", "a*"), Term(None, "", "a*")]),
        ("attributes.path=x", [Term("attributes.path", "=", "x")]),
        ("a OR b", [Parentheses(((Term(None, "", "a"),), (Term(None, "", "b"),)))]),
        (
            "x=1 (a b OR !c) y",
            [
                Term("x", "=", "1"),
                Parentheses(((Term(None, "", "a"), Term(None, "", "b")), (Term(None, "", "c", negated=True),))),
                Term(None, "", "y"),
            ],
        ),
        ("!(a)", [Parentheses(((Term(None, "", "a"),),), negated=True)]),
        ("(message~(a|b))", [Parentheses(((Term("message", "~", "(a|b)"),),))]),
        ("(f(x))", [Parentheses(((Term(None, "", "f(x)"),),))]),
        ("( a )", [Parentheses(((Term(None, "", "a"),),))]),
        ('("a)")', [Parentheses(((Term(None, "", "a)"),),))]),
        ("(user=)", [Parentheses(((Term("user", "=", ""),),))]),
        ("f(x) a) or ORDER", [Term(None, "", word) for word in ("f(x)", "a)", "or", "ORDER")]),
        ('"OR" x=OR', [Term(None, "", "OR"), Term("x", "=", "OR")]),
        ("  a\t\nb  ", [Term(None, "", "a"), Term(None, "", "b")]),
        ("", []),
    ],
)
def test_one_string_holds_terms_with_blanks_between(text, wanted):
    """`parse_query` splits at blanks outside of quotes."""
    assert list(parse_query(text).terms) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("low disk", Term(None, "", "low disk")),
        ('"low disk"', Term(None, "", "low disk")),
        ("message=payment declined", Term("message", "=", "payment declined")),
        ('message="payment declined"', Term("message", "=", "payment declined")),
        ("say x=5", Term(None, "", "say x=5")),
        ("message~^[Pp]ay ment", Term("message", "~", "^[Pp]ay ment")),
    ],
)
def test_one_argument_is_one_term(text, wanted):
    """On a command line blanks belong to the term."""
    assert parse_terms([text]).terms == (wanted,)


A, B, C = (Term(None, "", word) for word in "abc")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["a", "OR", "b"], (Parentheses(((A,), (B,))),)),
        (["a OR b"], (Parentheses(((A,), (B,))),)),
        (["(", "a", "OR", "b", ")", "c"], (Parentheses(((A,), (B,))), C)),
        (["(a OR b)", "c"], (Parentheses(((A,), (B,))), C)),
        (["(a", "OR", "b)", "c"], (Parentheses(((A,), (B,))), C)),
        (["!(", "a", "(b", "OR", "c))"], (Parentheses(((A, Parentheses(((B,), (C,)))),), negated=True),)),
        (["(", "(", "a", "))"], (Parentheses(((Parentheses(((A,),)),),)),)),
        (["(", "low disk", "OR", "x=y z)"], (Parentheses(((Term(None, "", "low disk"),), (Term("x", "=", "y z"),))),)),
        (["user=a*", "name=a b*"], (Term("user", "=", "a", prefix=True), Term("name", "=", "a b", prefix=True))),
        (['"Response Code">=500'], (Term("Response Code", ">=", "500"),)),
        (['it said "yes OR no'], (Term(None, "", 'it said "yes OR no'),)),
        (['message="a OR b"'], (Term("message", "=", "a OR b"),)),
        (["f(x)", ":)", "a)"], (Term(None, "", "f(x)"), Term(None, "", ":)"), Term(None, "", "a)"))),
    ],
)
def test_what_groups_terms_is_an_argument_of_its_own_or_within_one(arguments, wanted):
    assert parse_terms(arguments).terms == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a,b", ("a", "b")),
        (" a , http.status ", ("a", "http.status")),
        ('"Response Code",user', ("Response Code", "user")),
        ('Response Code, "a,b" ,"say \\"x\\""', ("Response Code", "a,b", 'say "x"')),
        ("a,", ("a", "")),
        ("", ("",)),
        (",a", ("", "a")),
    ],
)
def test_names_of_fields_stand_between_commas(text, wanted):
    assert read_names(text) == wanted


def test_a_name_that_goes_on_after_its_quotes_is_pointed_at():
    with pytest.raises(QueryError) as caught:
        read_names('"a"b')
    assert (caught.value.code, caught.value.position) == ("SL510", 3)


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("!", "SL510", 1),
        ("a !", "SL510", 3),
        ("!!a", "SL510", 1),
        ("=5", "SL510", 0),
        ("~x", "SL510", 0),
        ("a>", "SL510", 2),
        ("a ~b", "SL510", 2),
        ('""', "SL510", 0),
        ('"a"b', "SL510", 3),
        ('a "b', "SL511", 2),
        ('a="b\\"', "SL511", 2),
        ("(a", "SL510", 0),
        ("a)) (b", "SL510", 4),
        (") a", "SL510", 0),
        ("()", "SL510", 1),
        ("( a OR )", "SL510", 7),
        ("OR a", "SL510", 0),
        ("a OR", "SL510", 2),
        ("a OR OR b", "SL510", 5),
        ("(a)b", "SL510", 0),
        ('""=5', "SL510", 2),
        ('"x"*', "SL510", 3),
        ("(" * 51 + "a", "SL510", 50),
    ],
)
def test_a_term_that_cannot_be_read_is_pointed_at(text, code, position):
    """The error carries a code, a hint and a caret under the place."""
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    assert (caught.value.code, caught.value.position) == (code, position)
    assert caught.value.hint
    shown, caret = caught.value.pointer().split("\n")
    assert shown == text
    assert caret.index("^") == position


def test_the_pointer_of_a_long_query_shows_its_neighbourhood():
    """The caret stays under its place when the text is cut, and control characters are not printed."""
    with pytest.raises(QueryError) as caught:
        parse_query("x" * 200 + '\x1b "open ' + "y" * 200)
    shown, caret = caught.value.pointer().split("\n")
    assert shown[caret.index("^")] == '"'
    assert len(shown) <= 120
    assert "\x1b" not in shown


def test_text_after_a_closing_quote_of_an_argument_is_refused():
    """`'"a" b'` as one argument is most likely a mistake in quoting."""
    with pytest.raises(QueryError) as caught:
        parse_terms(['"a" b'])
    assert caught.value.position == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("severity=loud", "SL512"),
        ("severity>=25", "SL512"),
        ("message~(", "SL513"),
        ("severity~(", "SL513"),
        ("message~" + "x" * 1001, "SL513"),
    ],
)
def test_bad_values_are_refused_when_the_query_is_read(text, code):
    """Not when the first event is looked at."""
    with pytest.raises(UsageError) as caught:
        parse_query(text)
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["loud", "", "error..warn", "..", "warn..loud"])
def test_severities_that_mean_nothing_are_refused(text):
    """`-p` takes a level or a range that is not empty."""
    with pytest.raises(UsageError) as caught:
        severity_query(text)
    assert caught.value.code == "SL512"


def test_severity_options_become_terms():
    """A level means that and above; a range has both ends, either of which may be open."""
    assert str(severity_query("warn")) == "severity>=warn"
    assert str(severity_query("warn..error")) == "severity>=warn severity<=error"
    assert str(severity_query("..info")) == "severity<=info"
    assert str(severity_query("warn..")) == "severity>=warn"


def test_repeated_equalities_of_a_field_are_alternatives():
    """Other operators, negations and other fields stay conditions of their own."""
    query = parse_query("a=1 b=2 a=3 a!=4 !a=5 word")
    grouped = [[str(term) for term in condition] for condition in query.conditions]
    assert grouped == [["a=1", "a=3"], ["b=2"], ["a!=4"], ["!a=5"], ["word"]]
    assert all_equal("source", []) == Query()


WORDS = st.text(min_size=1, max_size=12)
FIELDS = st.from_regex(r"[a-z@_][a-z0-9_.@/-]{0,10}", fullmatch=True).filter(lambda name: name != "severity") | WORDS
OPERATORS = st.sampled_from(["=", "!=", ">", ">=", "<", "<="])
TERMS = st.one_of(
    st.builds(Term, st.none(), st.just(""), WORDS, st.booleans()),
    st.builds(Term, FIELDS, OPERATORS, WORDS, st.booleans()),
    st.builds(Term, FIELDS, st.sampled_from(["=", "!="]), st.just(""), st.booleans()),
    st.builds(Term, FIELDS, st.sampled_from(["=", "!="]), WORDS | st.just(""), st.booleans(), st.just(True)),  # noqa: FBT003
)


@given(st.lists(TERMS | parts_of(TERMS), max_size=5))
@example([Term(None, "", '"')])
@example([Term(None, "", "a\\")])
@example([Term("a", "=", '"\\')])
@example([Term("a", "=", "=")])
@example([Term("a", ">", "=1")])
def test_a_printed_query_reads_back_as_itself(terms):
    """In one string, and term by term as arguments."""
    query = Query(tuple(terms))
    assert parse_query(str(query)) == query
    assert parse_terms([str(term) for term in terms]) == query


@given(st.text(max_size=40))
def test_any_text_is_a_query_or_an_error_with_a_code(text):
    """Nothing else is raised, and what was read prints and reads back."""
    for read in (parse_query, lambda one: parse_terms([one])):
        try:
            query = read(text)
        except UsageError as error:
            assert error.code in ("SL510", "SL511", "SL512", "SL513")  # noqa: PT017 - either outcome is right
            continue
        assert parse_query(str(query)) == query
