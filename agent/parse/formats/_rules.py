"""The rules of the grammar of heads: what may stand where in front of a message.

A head is read by states. In a state its `lead` is passed over, then the first of its rules that fits is taken and says
which state is next; where none fits, `otherwise` is. So a layout is no row of a table: its parts are known by
themselves, and come in any order. A new kind of part is one rule here, and cases in `tests/cases`.

    START ── instant ──▶ INSTANT ── a level follows ──▶ PARTS ── level ──▶ LEVEL or BRACKET ── logger, thread ──▶ END
      ├──── level ──▶ FIRST_LEVEL ── instant ──▶ LEVEL                      │ ▲
      └──── name, number ──▶ PREFIX ── instant ──▶ NAMED                    └─┘ pid, thread, host, name

The names of a pattern's groups say what was found (`_shapes.ATTRIBUTES`); no other groups are kept. All patterns are
anchored, bounded and take no newline, so that a head costs the same whatever follows it, and many lines can be read at
once. A word of the message is no level: one counts in brackets, in capitals, before a colon or in a column, with
nothing but parts of heads before it.
"""

from __future__ import annotations

from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

from agent.parse.formats import _instants as instants
from agent.parse.formats import _levels as levels
from agent.parse.formats._before import A_LEVEL_FOLLOWS, BEFORE_MESSAGE, IN_PARTS, PARTS, PHP
from agent.parse.formats._behind import BEHIND_BRACKET, BEHIND_WORD
from agent.parse.formats._grammar import (
    BETWEEN,
    END,
    GAP,
    IN_BRACKETS,
    NAME,
    NO_EXCEPTION,
    NO_SUBJECT,
    WHOLE,
    Rule,
    State,
)

# ---------------------------------------------------------------- instants


def _instant_rules(then: str, syslog: str) -> tuple[Rule, ...]:
    """Instants by themselves, and in brackets; `syslog` is the state that follows RFC 3164's."""
    clock, after_clock = f"{instants.TIME}|{instants.KITCHEN}", instants.AFTER_NUMBERS
    kinds = (
        (digits, digits, instants.ISO, then, instants.AFTER),
        (ascii_uppercase, ascii_lowercase, instants.SYSLOG, syslog, instants.AFTER),
        (digits, digits, instants.CLF, then, instants.AFTER),
        (digits, digits + " -/.", instants.DIGITS, then, instants.AFTER),
        (ascii_uppercase, ascii_lowercase, instants.LETTERS, then, instants.AFTER),
        ("@", "4", instants.TAI64N, then, instants.AFTER),
        (digits, digits + ":", clock, then, after_clock),
    )
    return (
        *(
            Rule(first, f"(?P<timestamp>{one}){after}", state, second=second)
            for first, second, one, state, after in kinds
        ),
        Rule(digits, rf"(?P<timestamp>{instants.EPOCH})(?=[ \t]{{1,9}}[^\s])", then),
        *(
            Rule("[(<", rf"[\[(<] ?(?P<timestamp>{one}){after}(?: ?[\])>])?", state, second=first + " ")
            for first, _, one, state, after in kinds
        ),
        Rule("[", rf"\[(?P<timestamp>{instants.EPOCH})\](?=[ \t:]{{1,9}}[^\s])", then),
        # CSV; alone it is a text of JSON
        *(
            Rule('"', rf'"(?P<timestamp>{one})"(?=[ \t]{{0,9}}[^\s])', state, second=first)
            for first, _, one, state, _ in kinds
        ),
    )


# No name before an instant is what looks like a date: the time of day behind it would be taken for one of today.
_NO_DATE = (
    r"(?!\d{1,4}[./-](?:\d\d?|[A-Z][a-z]{2})[./-]\d{1,4}[ \t]|[A-Z][a-z]{2}[./-]\d|\d\d?[A-Z][a-z]{2}\d"
    r"|\d\d? [A-Z][a-z]{2,8},? (?:\d{4} )?|(?:19|20)\d\d (?:[A-Z][a-z]{2}|\d\d ))"
)
_PREFIXED = (
    rf"(?:-|[*#>=-]{{2,5}}|\*|{_NO_DATE}#?[\w$][\w$./@:+-]{{0,120}}|\[[\w$./@:+ -]{{1,60}}\])[ \t]{{1,9}}(?:[-|] )?"
)
# Most lines without a head are told by two words, or begin with a blank. No rule below takes them.
_TWO_WORDS = r"[A-Za-z][a-z]*+ [a-z]"
_PROSE = Rule(ascii_letters + " \t", rf"(?=[ \t]|{_TWO_WORDS})", WHOLE)

# ---------------------------------------------------------------- how a line begins

_COMPLETE = (
    # klog, glog: https://pkg.go.dev/k8s.io/klog/v2
    Rule(
        "IWEFD",
        rf"(?P<level>[IWEFD])(?P<timestamp>{instants.KLOG}) {{1,9}}(?P<tid>\d{{1,18}}) "
        r"(?P<logger>(?P<file>[^\s\]:]{1,200}):(?P<line>\d{1,6}))\] ?",
        END,
    ),
    # Ruby's Logger, Rails
    Rule(
        "DIWEFAU",
        rf"[DIWEFAU], \[(?P<timestamp>{instants.PLAIN}) #(?P<pid>\d{{1,10}})\] {{1,9}}(?P<level>\w{{1,12}}) -- "
        r"(?P<logger>[^:\n]{0,120}): ?",
        END,
    ),
    # Redis: https://redis.io/docs/latest/operate/oss_and_stack/management/config-file/
    Rule(digits, rf"(?P<pid>\d{{1,10}}):[A-Z] (?P<timestamp>{instants.REDIS}) (?P<level>[.*#-]) ", END),
    Rule("[", rf"\[(?P<pid>\d{{1,10}})\] (?P<timestamp>{instants.REDIS}) (?P<level>[.*#-]) ", END),
    Rule(digits, rf"(?P<pid>\d{{1,10}}):signal-handler \((?P<timestamp>{instants.EPOCH})\) ", END),
    # Tornado, Jupyter
    Rule(
        "[",
        rf"\[(?P<level>[DIWECF]) (?P<timestamp>{instants.PLAIN})(?: (?P<logger>[\w.-]{{1,80}})"
        r"(?::(?P<line>\d{1,6}))?)?\][ \t]?",
        END,
    ),
    # MySQL's slow query log, and the comments in W3C's extended format
    Rule(
        "#",
        rf"# ?(?:Start-)?(?:Date|Time): {{1,3}}(?P<timestamp>{instants.ISO}|{instants.CLF}|{instants.DIGITS})(?![\w:])",
        WHOLE,
    ),
    # HAProxy's own lines
    Rule("[", rf"\[(?P<level>{levels.CAPITALS})\] {{1,9}}(?:\d{{3}}/\d{{6}} )?\((?P<pid>\d{{1,10}})\) : ", END),
    # logrus, on a terminal
    Rule(
        "IWEDFPT",
        rf"(?P<level>INFO|WARN|ERRO|DEBU|FATA|PANI|TRAC)\[(?:\d{{4,6}}|(?P<timestamp>{instants.PLAIN}))\] ?",
        END,
    ),
    # .NET's console
    Rule(
        "tdiwfc", r"(?P<level>trce|dbug|info|warn|fail|crit): (?P<logger>[A-Za-z_][\w.]{0,120})\[\d{1,9}\](?: |$)", END
    ),
    # `dmesg -x`
    Rule(
        "kumdaslnfc",
        r"(?:kern|user|mail|daemon|auth|syslog|lpr|news|authpriv|ftp|cron|local\d) {0,5}:"
        r"(?P<level>emerg|alert|crit|err|warn|notice|info|debug) {0,5}: ",
        END,
    ),
    Rule("VDIWEF", r"(?P<level>[VDIWEF])/(?P<logger>[^(\n]{1,60}?) {0,30}\( {0,6}(?P<pid>\d{1,7})\):(?: |$)", END),
    Rule("P", rf"(?=PHP (?P<level>{PHP}):[ \t])", END),
    # syslog's priority, and sd-daemon(3)'s
    Rule("<", rf"<(?P<priority>\d{{1,3}})>(?=[\[(]?{instants.BEGINNING})", "PRIORITY"),
    Rule("<", r"<(?P<priority>[0-7])>(?=[^\s>])", END),
)
_FIRST_LEVELS = (
    Rule("[", rf"\[ {{0,9}}(?P<level>{levels.BRACKETED}|[DIWEF]) {{0,9}}\](?=:?[ \t]|[\[:|-]|$)", "FIRST_BRACKET"),
    Rule(
        ascii_uppercase,
        rf"(?P<level>{levels.CAPITALS})(?=[ \t]{{0,9}}[:|]|[ \t]{{1,9}}-[ \t]|  |\t|[ \t]\[|[ \t]{instants.BEGINNING})",
        "FIRST_LEVEL",
    ),
    Rule(ascii_uppercase, rf"(?P<level>{levels.MAIN})(?=[ \t]|$){NO_SUBJECT}", "FIRST_LEVEL"),
    Rule(ascii_letters, rf"(?P<level>{levels.FIRST_WORDS})(?=:(?:[ \t]|$))", "FIRST_LEVEL"),
    Rule("DIWEF", rf"(?P<level>[DIWEF])(?=[ \t]{instants.PLAIN})", "FIRST_LEVEL"),
)
_LEVEL_AFTER_NAME = rf"(?:{levels.MAIN}(?=[ \t|:]|$)|\[ ?{levels.BRACKETED} {{0,9}}\])"
_FIRST_NAMES = (
    Rule(digits, rf"\d[\d./,:T-]{{6,40}}(?=:{levels.MAIN}:)", "NAMES"),  # an instant that nobody can read
    Rule(digits, rf"(?P<pid>\d{{1,18}})(?=[ \t]{{1,9}}(?:-|\|)[ \t]{{1,9}}{_LEVEL_AFTER_NAME})", "NAMES"),
    Rule("[", rf"\[(?P<pid>\d{{1,18}})\](?=[ \t:]{{1,9}}{_LEVEL_AFTER_NAME})", "NAMES"),
    Rule(
        "[", rf"\[[\d.,:-]{{1,30}}m?s?\](?=(?:\[[^\[\]\n]{{1,60}}\]){{0,3}}[ \t:]{{0,9}}{_LEVEL_AFTER_NAME})", "NAMES"
    ),
    Rule(
        "[",
        rf"\[(?P<where>{IN_BRACKETS})\](?=(?:\[[^\[\]\n]{{1,60}}\]){{0,3}}[ \t:]{{0,9}}{_LEVEL_AFTER_NAME})",
        "NAMES",
    ),
)
_FIRST_WORDS = (
    Rule(
        ascii_letters + "_",
        rf"(?P<logger>{NAME})[ \t]{{1,9}}-[ \t]{{1,9}}(?P<level>{levels.MAIN})[ \t]{{1,9}}-[ \t]{{1,9}}",
        END,
    ),
    # `nginx: [emerg] …`, `ls: error: …`
    Rule(
        ascii_letters + "_/",
        rf"(?P<logger>[A-Za-z_/][\w./-]{{0,80}}): \[(?P<level>{levels.BRACKETED})\][ \t]{{1,9}}",
        END,
    ),
    Rule(
        ascii_lowercase + "/",
        rf"(?P<logger>[a-z/][\w./+-]{{0,80}}){NO_EXCEPTION}: (?P<level>{levels.FIRST_WORDS}):[ \t]{{1,9}}",
        END,
    ),
    Rule(
        ascii_letters + "_",
        rf"(?P<logger>{NAME})"
        rf"(?=[ \t]{{1,9}}[-|][ \t]{{1,9}}(?:{levels.MAIN}|\[{levels.BRACKETED}\])[ \t]{{0,9}}[-:|\[])",
        "NAMES",
    ),
    Rule(ascii_letters + "_", rf"(?P<thread>[A-Za-z_][\w.-]{{0,60}})(?=::{levels.MAIN}::)", "NAMES"),
)
_COMPOSE = Rule("", r"(?P<container>[A-Za-z0-9][\w.-]{0,63}) {1,30}\| {1,2}(?=[\w\[<])", "AGAIN")
_ACCESS = (
    Rule("", rf"(?!{_TWO_WORDS})[^\s\[]{{1,80}} \S{{1,64}} \S{{1,64}} \[(?P<timestamp>{instants.CLF})\] ", WHOLE),
    Rule("", rf"[^\s\[]{{1,80}} \[(?P<timestamp>{instants.CLF})\] ", WHOLE),  # HAProxy, written to a file
    Rule("[*", rf"(?:\[pid: |\*\*\* )[^\[\n]{{1,160}}\[(?P<timestamp>{instants.LETTERS})\] ", WHOLE),  # uWSGI
)
_FIRST_NAME_RUN = Rule(
    "",
    rf"(?=(?=[-*#>=\[]|[A-Z]{{3,20}} |[\w$]{{0,60}}[\d._/@:$-])(?:{_PREFIXED}){{1,5}}[\[(<]?{instants.BEGINNING})",
    "PREFIX",
)
_BEGINNING = (
    _PROSE,
    *_COMPLETE,
    *_FIRST_LEVELS,
    *_FIRST_NAMES,
    *_FIRST_WORDS,
    *_ACCESS,
)
# A cheap look: what begins with no instant need not be tried for each of them.
_LIKE_INSTANT = Rule("", rf'(?=[\[(<"]? ?{instants.BEGINNING})', "")

# ---------------------------------------------------------------- syslog's tag

_TAG = r"[\w./@()+-]{1,80}"
_NO_LEVEL = rf"(?!{levels.CAPITALS}\b)"
_SYSLOG_TAGS = (
    Rule(
        " \t",
        rf"[ \t]{{1,9}}(?P<host>[\w.:-]{{0,254}}[\w.-])[ \t]{{1,9}}{_NO_LEVEL}(?P<logger>{_TAG})"
        r"(?:\[(?P<pid>\d{1,10})\])?(?: \([^)\n]{1,120}\))?:(?: |$)",
        "TAGGED",
    ),
    Rule(
        " \t",
        rf"[ \t]{{1,9}}{_NO_LEVEL}(?P<logger>{_TAG})(?:<[\w<>+/=.-]{{1,60}}>)?(?:\[(?P<pid>\d{{1,10}})\])?:(?: |$)",
        "TAGGED",
    ),
)
_OTHER_TAGS = (
    Rule("|", r"\|(?P<logger>[A-Za-z_][\w.-]{0,80})\|(?P<pid>\d{1,12})\|", END),
    Rule(
        " \t",
        rf"[ \t]{{1,9}}(?P<host>[\w.-]{{1,255}})[ \t]{{1,9}}(?P<logger>{_TAG})\[(?P<pid>\d{{1,10}})\]:(?: |$)",
        "TAGGED",
    ),
    Rule(" \t", r"[ \t](?P<logger>[A-Za-z][\w.-]{0,60})\[[\w.-]{1,60}\]:(?: |$)", "TAGGED"),  # Heroku
)
_HEADED = Rule("", A_LEVEL_FOLLOWS, "PARTS", seen=True)
_STRIP = r"[ \t|:,-]{0,80}+"

_AFTER_FIRST_LEVEL = (
    Rule("[", rf"\[(?P<thread>{IN_BRACKETS})\][ \t]{{1,9}}(?={instants.BEGINNING})", "THEN_INSTANT"),
    *BEHIND_WORD,
    Rule("[", rf"(?<=[A-Z] )\[(?P<logger>{NAME})\][ \t]{{1,9}}", END),
)
_LEVEL_BEFORE = {"LEVEL": "FIRST_LEVEL", "BRACKET": "FIRST_BRACKET"}  # an instant may follow

STATES = {
    "START": State("", (_LIKE_INSTANT._replace(then="FIRST_INSTANT"),), "WORDS"),
    "FIRST_INSTANT": State("", _instant_rules("INSTANT", "SYSLOG"), "WORDS"),
    "WORDS": State("", (*_BEGINNING, _COMPOSE, _FIRST_NAME_RUN), WHOLE),
    "AGAIN": State("", (_LIKE_INSTANT._replace(then="INSTANT_AGAIN"),), "WORDS_AGAIN"),
    "INSTANT_AGAIN": State("", _instant_rules("INSTANT", "SYSLOG"), "WORDS_AGAIN"),
    "WORDS_AGAIN": State("", (*_BEGINNING, _FIRST_NAME_RUN), WHOLE),
    "PRIORITY": State("", _instant_rules("INSTANT", "SYSLOG"), END),
    "PREFIX": State(
        "",
        (
            *_instant_rules("NAMED", "NAMED"),
            Rule(ascii_uppercase, rf"(?P<level>{levels.MAIN})[ \t]{{1,9}}(?=[\[(<]?{instants.BEGINNING})", "PREFIX"),
            Rule("", _PREFIXED, "PREFIX"),
        ),
        WHOLE,
    ),
    "INSTANT": State("", (_HEADED, *_OTHER_TAGS), "STRIP"),
    "SYSLOG": State("", (*_SYSLOG_TAGS, _HEADED), "STRIP"),
    "NAMED": State("", (_HEADED,), WHOLE),
    "STRIP": State(_STRIP, (), END),
    "TAGGED": State("[ \t]{0,80}+", BEFORE_MESSAGE, END),
    "PARTS": State(BETWEEN, (*IN_PARTS, *PARTS), END),
    "NAMES": State(
        BETWEEN,
        (
            *(rule._replace(then=_LEVEL_BEFORE.get(rule.then, rule.then)) for rule in BEFORE_MESSAGE),
            *_FIRST_NAMES,
        ),
        END,
    ),
    "LEVEL": State(GAP, BEHIND_WORD, END),
    "BRACKET": State(GAP, BEHIND_BRACKET, END),
    "LOGGED": State(GAP, (), END),
    "FIRST_LEVEL": State(GAP, (_LIKE_INSTANT._replace(then="SECOND_INSTANT"), *_AFTER_FIRST_LEVEL), END),
    "SECOND_INSTANT": State("", _instant_rules("BEHIND_BOTH", "BEHIND_BOTH"), "AFTER_FIRST_LEVEL"),
    "AFTER_FIRST_LEVEL": State("", _AFTER_FIRST_LEVEL, END),
    "FIRST_BRACKET": State(GAP, (_LIKE_INSTANT._replace(then="THIRD_INSTANT"), *BEHIND_BRACKET), END),
    "THIRD_INSTANT": State("", _instant_rules("BEHIND_BOTH", "BEHIND_BOTH"), "AFTER_BRACKET"),
    "AFTER_BRACKET": State("", BEHIND_BRACKET, END),
    "THEN_INSTANT": State("", _instant_rules("BEHIND_BOTH", "BEHIND_BOTH"), END),
    "BEHIND_BOTH": State(
        GAP,
        (
            Rule(
                ascii_letters + "_", r"(?P<logger>[A-Za-z_][\w.]{0,80}) (?P<pid>\d{1,10}) (?P<tid>\d{1,20})[ \t]", END
            ),
            *BEHIND_WORD,
        ),
        END,
    ),
    "TAG": State(" {1,3}", (Rule("", r"(?P<logger>[^:\n]{1,80}?) {0,30}:(?: |$)", END),), END),
    "TASK": State(
        "[ \t]{0,80}+", (Rule("", r"(?P<logger>[A-Za-z_][\w.]{0,120})\[[0-9a-f-]{8,40}\](?:: )?", END),), END
    ),
}
