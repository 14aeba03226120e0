"""The rules of the grammar of heads: what may stand where in front of a message.

A head is read by states. In a state its `lead` is passed over, then the first of its rules that fits is taken and says
which state is next; where none fits, `otherwise` is. So a layout is no row of a table: its parts are known by
themselves, and come in any order. A new kind of part is one rule here, and cases in `tests/cases`.

    START ── instant ──▶ INSTANT ── a level follows ──▶ PARTS ── level ──▶ LEVEL or BRACKET ── logger, thread ──▶ END
      ├──── level ──▶ FIRST_LEVEL ── instant ──▶ LEVEL                      │ ▲
      └──── name, number ──▶ PREFIX ── instant ──▶ NAMED                    └─┘ pid, thread, host, name

The names of a pattern's groups say what was found (`_shapes.ATTRIBUTES`); no other groups are kept. All patterns are
anchored, bounded but for runs of separators, and take no newline: they are linear in the length of the line, and fit
many lines at once. A word of the message is no level: one counts in brackets, in capitals, before a colon or in a
column, with nothing but parts of heads before it.
"""

from __future__ import annotations

import re
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits
from typing import NamedTuple

from agent.parse.formats import _instants as instants
from agent.parse.formats import _levels as levels

END = "END"  # the message begins here
WHOLE = "WHOLE"  # the message is the whole line


class Rule(NamedTuple):
    """One kind of part.

    Attributes:
        starts: the characters with which it begins, all where they are empty.
        pattern: a regular expression; each of its groups has a name.
        then: the state that follows.
        seen: it takes nothing, and is true wherever the parts that follow it are found.
        second: the characters that may come second, all where they are empty.
        guard: a cheap look, true wherever the pattern fits; rules with the same one stand together.
    """

    starts: str
    pattern: str
    then: str
    seen: bool = False
    second: str = ""
    guard: str = ""

    def may_fit_where(self, other: Rule) -> bool:
        """Whether a text that the other one fits could be this one's, by its first two characters."""
        return _may_meet(self.starts, other.starts) and _may_meet(self.second, other.second)


def _may_meet(one: str, other: str) -> bool:
    return not one or not other or not set(one).isdisjoint(other)


class State(NamedTuple):
    """What is passed over, what may follow, and what is next where nothing of it does."""

    lead: str
    rules: tuple[Rule, ...]
    otherwise: str


_GAP = r"[ \t]*+(?:(?:[|:\]]|-{1,3}(?=[ \t]|$)|--?>)[ \t]*+)*+"  # between a level and what follows
_BETWEEN = r"[ \t]*+(?:(?:[|,;:>\]]|-{1,3}(?=[ \t\[<{]))[ \t]*+)*+"  # between the parts of a head
_EDGE = r"(?=[ \t|,;:\])>]|$)"
_NUMBER_EDGE = r"(?=[ \t|,;\])>]|:[ \t\[]|$)"

# ---------------------------------------------------------------- names

_NAME = r"[A-Za-z_$][\w$./:<>#-]{0,120}"
_DOTTED = r"[A-Za-z_$][\w$-]{0,60}(?:(?:\.|/|::)[\w$<>-]{1,80}){1,14}"
_NO_EXCEPTION = "(?<!Error)(?<!Exception)(?<!Throwable)(?<!Failure)(?<!Fault)(?<!Warning)"
_AFTER_NAME = r"(?:[ \t]{1,60}-|[ \t]{0,60}:)(?:[ \t]|$)"
_FILE = r"(?=[\w./])(?=[\w./\\+-]{1,160}+:\d|[\w./-]{1,160}+ \(line )[\w./\\+-]{1,160}\.[a-z]{1,5}"
_IN_BRACKETS = r"[^\[\]\n]{0,120}(?:\[[^\[\]\n]{0,60}\][^\[\]\n]{0,120})?"
_PIPED = r"(?:(?<=\|)|(?<=\| )|(?<=\|  ))"

# ---------------------------------------------------------------- a level behind an instant and other parts

_PHP = (
    "(?:Recoverable |Catchable )?[Ff]atal error|(?:Core |Compile |User )?(?:Warning|Error|Notice|Deprecated)"
    "|Parse error|Strict Standards"
)
_PROCESS = r"[\w.-]{1,40}\[\d{1,10}\][ :]"
_WORD = r"(?=[A-Za-z]{1,12}+\d?+(?:[^\w.@$]|$))"  # where a level may stand by itself


def _word(pattern: str, then: str, *, capitals: bool = False) -> Rule:
    return Rule(ascii_uppercase if capitals else levels.FIRST_LETTERS, pattern, then, guard=_WORD)


_IN_CAPITALS = (
    _word(rf"(?P<level>{levels.CAPITALS})(?![^ \t\n|:\])>\[,-])(?!,[^ \t]|-[^ \t\n>-])", "LEVEL", capitals=True),
    # Celery: `[instant: ERROR/ForkPoolWorker-1] task[id]: …`
    _word(rf"(?P<level>{levels.CAPITALS})/(?P<thread>[\w.@:-]{{1,60}})\](?=[ \t]|$)", "TASK", capitals=True),
    # In any case before a mark, in a column (zap, Windows' CBS), before the name of a process
    _word(rf"(?P<level>{levels.WORDS})(?=[ \t]{{0,9}}(?:[|:](?!:)|- )|\t|  | {_PROCESS})", "LEVEL"),
)
_IN_BRACKETS_ALONE = (
    Rule("[", rf"\[ {{0,9}}(?P<level>{levels.BRACKETED}|{levels.LETTERS}) {{0,9}}\]", "BRACKET"),
    Rule("[", rf"\[(?P<logger>[\w.*-]{{0,60}}):(?P<level>{levels.BRACKETED})\]", "BRACKET"),  # Apache
    Rule("[", rf"\[(?P<thread>[^\[\]/\n]{{1,60}})/(?P<level>{levels.CAPITALS})\]", "BRACKET"),
    Rule("<({", rf"[<({{] {{0,9}}(?P<level>{levels.BRACKETED}) {{0,9}}[>)}}](?=[ \t:]|$)", "BRACKET"),
)
_BY_NAME = (
    Rule("P", rf"(?=(?:PHP message: )?PHP (?P<level>{_PHP}):[ \t])", END, second="H"),
    Rule(
        ascii_letters + "_", rf"(?P<logger>[A-Za-z_][\w-]{{0,60}})\.(?P<level>{levels.CAPITALS}):(?=[ \t]|$)", "LOGGED"
    ),  # Monolog
)
_BEFORE_MESSAGE = (*_IN_BRACKETS_ALONE, *_IN_CAPITALS, *_BY_NAME)
_SYSTEM_LOG = Rule(  # macOS: `log show`, and below its compact style
    "0",
    r"0x[0-9a-f]{1,16} {1,12}(?P<level>Default|Info|Debug|Error|Fault) {1,12}0x[0-9a-f]{1,16} {1,24}"
    r"(?P<pid>\d{1,9}) {1,9}\d{1,6} {1,9}(?P<logger>[\w.-]{1,60}): ",
    END,
    second="x",
)
_SPECIAL = 3  # the first rules only say more of what later ones would take
_IN_PARTS = (
    # Kafka's log4j writes the logger behind the message, tracing-subscriber a target of one word
    Rule(
        ascii_uppercase,
        rf"(?<=\d\] )(?P<level>{levels.MAIN}) (?=[^\n]{{0,2000}} "
        r"\((?P<logger>[a-z]\w{0,60}(?:\.[\w$]{1,80}){1,14})\)$)",
        END,
    ),
    Rule(
        ascii_uppercase,
        rf"(?:(?<=\.\d\d\d\d\d\dZ )|(?<=\.\d\d\d\d\d\dZ  ))(?P<level>{levels.MAIN}) (?P<logger>[a-z_]\w{{0,60}}): ",
        END,
    ),
    Rule(digits, r"(?P<tid>\d{1,18}) \[(?P<level>Note|Warning|ERROR|System)\]", "BRACKET"),  # MySQL
    *_BEFORE_MESSAGE,
    # logcat: https://developer.android.com/tools/logcat
    Rule(digits, r"(?P<pid>\d{1,7})[ -]{1,7}(?P<tid>\d{1,7}) {1,3}(?P<level>[VDIWEFS])(?= )", "TAG"),
    Rule("VDIWEFS", r"(?P<level>[VDIWEFS])/(?P<logger>[^(\n]{1,60}?) {0,30}\( {0,6}(?P<pid>\d{1,7})\):(?: |$)", END, second="/"),
    # MongoDB before 4.4
    Rule(
        "IWEFD",
        r"(?P<level>[IWEFD])[1-5]? {1,3}(?P<logger>[A-Z]{1,10}|-) {1,9}\[(?P<thread>[\w.-]{1,60})\] ?",
        END,
        second=digits + " ",
    ),
    Rule("IWENDAC", r"(?P<level>In|Wa|Er|No|Db|Al|Cr|Em)\(\d{1,3}\)(?= )", "LEVEL", second=ascii_lowercase),  # ESXi 8
    _SYSTEM_LOG,
    Rule(
        "DIEF",
        r"(?P<level>Df|I|Db|E|F) {1,3}(?P<logger>[\w.-]{1,60})\[(?P<pid>\d{1,9}):[0-9a-f]{1,16}\] ",
        END,
        second="fb ",
    ),
    Rule("ls", rf"(?=(?:level|lvl|severity)=\"?(?P<level>{levels.WORDS})\"?[ \t,])", END, second="ev"),
)

# ---------------------------------------------------------------- other parts before a level

# A word of a sentence is none of them: they hold a digit or a mark, or are capitals; a plain word only next to a level.
_NO_NAME = (
    "(?!(?:[Aa]n?|[Tt]he|[Nn]o|[Aa]nd|[Oo]r|[Ww]ith|[Gg]ot|[Rr]eceived|[Tt]his|[Tt]hat|[Oo]f|[Oo]n|[Ii]n|[Tt]o|[Ff]or"
    r"|[Ff]rom|[Ii]s|[Ww]as|[Aa]ny|[Aa]s|[Bb]y|[Aa]t|[Nn]ew|[Ff]irst|[Ll]ast)[ \t])"
)
_PARTS = (
    Rule("pP", r"(?:pid|PID)[=: ]{1,2}(?P<pid>\d{1,18})" + _EDGE, "PARTS"),
    Rule(ascii_letters + digits + "_$", r"[\w$.-]{1,60}@[\w$.-]{1,60}(?=[ :])", "PARTS"),  # PostgreSQL's user and database
    Rule(ascii_letters + "_", r'[A-Za-z_][\w.]{0,40}=[^\s"]{0,160}', "PARTS"),
    Rule(
        "[(",
        r"[\[(](?:pid[ :=]{0,2})?(?P<pid>\d{1,18})(?:[:/ ](?:tid[ :=]{0,2})?(?P<tid>\d{1,18}))?[\])]",
        "PARTS",
    ),
    Rule("[", r"\[\d{1,18}-\d{1,10}\]", "PARTS"),
    Rule("{", rf"\{{{{1,2}}(?P<file>{_FILE}):(?P<line>\d{{1,6}})\}}{{1,2}}", "PARTS"),
    Rule("[", r"\[(?P<logger>[\w.]{1,100}) {1,60}:(?P<line>\d{1,6}) {0,9}\]", "PARTS"),  # Salt
    Rule("[", rf"\[(?P<where>{_IN_BRACKETS})\]", "PARTS"),
    Rule("(", r"\((?P<thread>[\w .:/#-]{1,60})\)", "PARTS"),
    Rule("<", r"<[\w.:/-]{1,60}>", "PARTS"),
    Rule(ascii_letters + digits, r"(?P<client>[\w.-]{1,80})\((?P<port>\d{1,5})\)(?=[: ])", "PARTS"),  # PostgreSQL's %r
    Rule(digits, r"(?P<pid>\d{1,18})(?:#(?P<tid>\d{1,10}))?" + _NUMBER_EDGE, "PARTS"),
    Rule(ascii_letters + "_", r"(?P<logger>[A-Za-z_][\w./-]{0,60})\[(?P<pid>\d{1,10})\]", "PARTS"),
    Rule(
        ascii_letters + digits + "_./",
        rf"(?P<file>{_FILE}):(?P<line>\d{{1,6}})" + _EDGE,
        "PARTS",
    ),
    Rule(ascii_letters + "_$", rf"(?P<logger>{_DOTTED})(?::\d{{1,6}})?" + _EDGE, "PARTS"),
    Rule(
        ascii_letters + digits + "_$", r"(?=[\w$]{0,60}[\d._/@$-])[\w$][\w$./@:-]{1,120}" + _EDGE, "PARTS"
    ),
    Rule(ascii_uppercase, r"[A-Z][A-Z0-9_]{1,40}(?=[ \t|](?!ALERT))", "PARTS"),
    Rule(
        ascii_letters + "_",
        rf"{_NO_NAME}(?P<logger>[A-Za-z_]\w{{0,60}})(?=[ \t]{{1,30}}(?:(?:\||-|:)[ \t]{{1,9}})?"
        rf"(?:{levels.MAIN}(?=[ \t|:]|$)|\[ ?{levels.BRACKETED} {{0,9}}\]|(?<=- ){levels.WORDS} {{1,9}}- ))",
        "PARTS",
    ),
)


def unnamed(pattern: str) -> str:
    """The pattern with groups that are not kept."""
    return re.sub(r"\(\?P<\w+>", "(?:", pattern)


def _any_of(rules: tuple[Rule, ...]) -> str:
    return "(?:" + "|".join(unnamed(rule.pattern) for rule in rules) + ")"


# Of a message most are told by its first word: a word in small letters, then one that begins neither in capitals nor
# with a mark, is no part of a head, unless it is a level before the name of a process.
_A_LEVEL_FOLLOWS = (
    rf"(?={_BETWEEN}(?![A-Za-z][a-z]*+ (?!{_PROCESS})[^A-Z\[|:<({{ -])"
    rf"(?:(?>{_any_of(_PARTS)}){_BETWEEN}){{0,8}}?{_any_of(_IN_PARTS[_SPECIAL:])})"
)

# ---------------------------------------------------------------- behind a level

_FIRST_IN_BRACKETS = (
    Rule("[", r"(?<=\])\[(?P<pid>\d{1,18})\][ \t]?", END),
    Rule("[", r"(?<=\])\[(?P<logger>[a-z]\.[a-z]\.[\w.$-]{1,100}) {0,60}\] \[(?P<node>[\w.-]{1,80})\] ?", END),
    Rule(
        "[",
        r"(?<=\])\[(?P<logger>[\w.$/:@#-]{1,100}) {0,60}\]"
        rf"(?: \[(?P<file>{_FILE}):(?P<line>\d{{1,6}})\])?[ \t]?",
        END,
    ),
    # structlog's console pads the level, and the logger follows the event
    Rule("", r"(?<= \] )(?=[^\n\[]{1,400}\[(?P<logger>[A-Za-z_][\w.]{0,100})\](?: [\w.]{1,60}=|$))", END),
)
_IN_BRACKETS_BEHIND = (
    Rule(  # Apache
        "[",
        r"\[pid (?P<pid>\d{1,10})(?::tid (?P<tid>\d{1,20}))?\]"
        r"(?: \[client (?P<client>[\w.:%-]{1,60}?)(?:(?<=\d):(?P<port>\d{1,5}))?\])?[ \t]?",
        END,
    ),
    Rule("[", r"\[client (?P<client>[\w.:%-]{1,60}?)(?:(?<=\d):(?P<port>\d{1,5}))?\][ \t]?", END),
    Rule("[", r"\[(?P<code>MY-\d{6})\] \[(?P<logger>\w{1,40})\][ \t]?", END),  # MySQL 8
    # ZooKeeper: `[thread:Class@line]`
    Rule("[", rf"\[(?P<thread>{_IN_BRACKETS}):(?P<logger>[\w.$]{{1,100}})@(?P<line>\d{{1,6}})\](?: - |[ \t])", END),
    Rule("[", rf"\[(?P<thread>{_IN_BRACKETS})\][ \t]{{1,20}}(?P<logger>{_NAME}){_AFTER_NAME}", END),  # log4j
    Rule("[", r"\[(?P<logger>[\w.$-]{1,120})\] \((?P<thread>[^)\n]{1,80})\)[ \t]", END),  # JBoss, Quarkus
    # Tomcat: no mark between logger and message
    Rule("[", rf"\[(?P<thread>{_IN_BRACKETS})\] (?P<logger>[a-z]\w{{0,40}}(?:\.[\w$]{{1,80}}){{2,14}})[ \t]", END),
    Rule("[", r"\[(?P<logger>[A-Za-z_][\w./-]{0,80}):(?P<line>\d{1,6})\][ \t]", END),
    Rule(
        "[",
        rf"\[(?P<logger>[a-z_]\w{{0,60}}(?:::\w{{1,60}}){{1,8}})\] (?:(?P<file>{_FILE}):(?P<line>\d{{1,6}}): )?",
        END,
    ),
)
_NUMBERS_BEHIND = (
    Rule(  # Spring Boot
        digits,
        r"(?P<pid>\d{1,10}) {1,3}--- {1,3}(?:\[[^\]\n]{0,80}\] {1,3}){0,3}?\[(?P<thread>[^\]\n]{0,120})\] {1,3}"
        r"(?P<logger>\S{1,120}) {1,60}: ?",
        END,
    ),
    Rule(digits, r"(?P<pid>\d{1,10})#(?P<tid>\d{1,10}): ?", END),  # nginx
)
_NO_SENTENCE = r"(?![\w$]++ [\w\"'])"


def _named(starts: str, pattern: str, then: str = END) -> Rule:
    return Rule(starts, pattern, then, guard=_NO_SENTENCE)


_NAMES_BEHIND = (
    _named(ascii_letters + "_$", rf"(?P<logger>(?>{_DOTTED})){_NO_EXCEPTION}{_AFTER_NAME}"),
    _named(
        ascii_letters + digits + "_./",
        rf"(?P<file>{_FILE}):(?P<line>\d{{1,6}})(?: -|:| >|\]:?)(?:[ \t]|$)",
    ),
    _named(ascii_letters, rf"(?P<file>{_FILE}) \(line (?P<line>\d{{1,6}})\)[ \t]"),
    _named(ascii_letters + "_$", rf"(?P<logger>(?>{_DOTTED})){_NO_EXCEPTION}:(?P<line>\d{{1,6}}){_AFTER_NAME}"),
    _named(ascii_letters + "_$", rf"(?P<logger>{_DOTTED}) (?=\[(?:req-|-\]))"),  # OpenStack
    _named(ascii_letters + "_", r"(?P<logger>[A-Za-z_][\w.-]{0,60})\[(?P<pid>\d{1,10})\]:?[ \t]"),
)
_BEHIND_ALL = (
    Rule(  # AWS Lambda
        digits + "abcdef",
        r"(?P<invocation>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\t",
        END,
        second=digits + "abcdef",
    ),
    Rule("", rf"{_PIPED}(?P<thread>[^|\n]{{1,60}}?) {{1,30}}\| {{1,3}}(?P<logger>[^\s|]{{1,120}}) {{1,60}}\| ?", END),
    Rule("", rf"{_PIPED}(?P<logger>[^\s|]{{1,120}}) {{0,60}}(?: - |\| ?)", END),  # loguru, NLog
)
_BEHIND_BRACKET = (*_FIRST_IN_BRACKETS, *_IN_BRACKETS_BEHIND, *_NUMBERS_BEHIND, *_NAMES_BEHIND, *_BEHIND_ALL)
_BEHIND_WORD = (
    *_IN_BRACKETS_BEHIND,
    *_NUMBERS_BEHIND,
    *_NAMES_BEHIND,
    _named(ascii_letters + digits + "_.-$", r"(?<=[A-Z]:)(?P<logger>[\w.$-]{1,120}):", "LOGGED"),
    _named(  # tracing: spans with their fields before the target
        ascii_letters + "_",
        r"\w{1,60}\{[^}\n]{0,200}\}:(?:[\w-]{1,60}(?:\{[^}\n]{0,200}\})?:){0,6} "
        r"(?P<logger>\w{1,60}(?:::\w{1,60}){0,8}): ",
    ),
    _named("T", r"ThreadId\((?P<tid>\d{1,9})\) (?P<logger>\w{1,60}(?:::\w{1,60}){0,8}): "),
    _named(  # Java's simple names
        ascii_uppercase,
        rf"(?P<logger>(?>[A-Z][a-z0-9]{{1,40}}(?:[A-Z][A-Za-z0-9]{{0,40}}){{1,8}}\$?)){_NO_EXCEPTION}:(?:[ \t]|$)",
    ),
    _named(ascii_letters + "_$", r"(?P<logger>[A-Za-z_$][\w$.-]{0,80})[ \t]{1,30}-[ \t]"),
    _named(  # zap's console: logger and caller are columns, and a message before its fields is none
        ascii_letters + "_",
        rf"(?<=\t)(?P<logger>[A-Za-z_][\w.-]{{0,80}})\t(?:(?P<file>{_FILE}):(?P<line>\d{{1,6}})\t)?(?![{{\n]|$)",
    ),
    _named(ascii_letters + digits + "_./", rf"(?<=\t)(?P<file>{_FILE}):(?P<line>\d{{1,6}})\t"),
    _named(ascii_letters + "_", r"(?P<logger>[\w.$-]{1,100}(?:::[\w$]{1,60}){0,8})(?::(?P<line>\d{1,6}))?\](?:[ \t]|$)"),
    Rule(ascii_uppercase, r"(?<=  )(?P<logger>[A-Z][A-Z0-9]{1,15}) {2,9}", END),  # Windows' CBS
    *_BEHIND_ALL,
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
        *(Rule(first, f"(?P<timestamp>{one}){after}", state, second=second) for first, second, one, state, after in kinds),
        Rule(digits, rf"(?P<timestamp>{instants.EPOCH})(?=[ \t]{{1,9}}[^\s])", then),
        *(
            Rule("[(<", rf"[\[(<] ?(?P<timestamp>{one}){after}(?: ?[\])>])?", state, second=first + " ")
            for first, _, one, state, after in kinds
        ),
        Rule("[", rf"\[(?P<timestamp>{instants.EPOCH})\](?=[ \t:]{{1,9}}[^\s])", then),
    )


_PREFIXED = r"(?:-|[\w$][\w$./@:+-]{1,120})[ \t]{1,9}(?:[-|] )?"
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
    # Tornado, Jupyter
    Rule(
        "[",
        rf"\[(?P<level>[DIWECF]) (?P<timestamp>{instants.PLAIN})(?: (?P<logger>[\w.-]{{1,80}})"
        r"(?::(?P<line>\d{1,6}))?)?\][ \t]?",
        END,
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
    Rule("tdiwfc", r"(?P<level>trce|dbug|info|warn|fail|crit): (?P<logger>[A-Za-z_][\w.]{0,120})\[\d{1,9}\](?: |$)", END),
    # `dmesg -x`
    Rule(
        "kumdaslnfc",
        r"(?:kern|user|mail|daemon|auth|syslog|lpr|news|authpriv|ftp|cron|local\d) {0,5}:"
        r"(?P<level>emerg|alert|crit|err|warn|notice|info|debug) {0,5}: ",
        END,
    ),
    Rule("VDIWEF", r"(?P<level>[VDIWEF])/(?P<logger>[^(\n]{1,60}?) {0,30}\( {0,6}(?P<pid>\d{1,7})\):(?: |$)", END),
    Rule("P", rf"(?=PHP (?P<level>{_PHP}):[ \t])", END),
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
    Rule(ascii_uppercase, rf"(?P<level>{levels.MAIN})(?=[ \t]|$)", "FIRST_LEVEL"),
    Rule(ascii_letters, rf"(?P<level>{levels.FIRST_WORDS})(?=:(?:[ \t]|$))", "FIRST_LEVEL"),
    Rule("DIWEF", rf"(?P<level>[DIWEF])(?=[ \t]{instants.PLAIN})", "FIRST_LEVEL"),
)
_LEVEL_AFTER_NAME = rf"(?:{levels.MAIN}(?=[ \t|:]|$)|\[ ?{levels.BRACKETED} {{0,9}}\])"
_FIRST_NAMES = (
    Rule(digits, rf"(?P<pid>\d{{1,18}})(?=[ \t]{{1,9}}(?:-|\|)[ \t]{{1,9}}{_LEVEL_AFTER_NAME})", "NAMES"),
    Rule("[", rf"\[(?P<pid>\d{{1,18}})\](?=[ \t:]{{1,9}}{_LEVEL_AFTER_NAME})", "NAMES"),
    Rule("[", rf"\[[\d.,:-]{{1,30}}m?s?\](?=(?:\[[^\[\]\n]{{1,60}}\]){{0,3}}[ \t:]{{0,9}}{_LEVEL_AFTER_NAME})", "NAMES"),
    Rule("[", rf"\[(?P<where>{_IN_BRACKETS})\](?=(?:\[[^\[\]\n]{{1,60}}\]){{0,3}}[ \t:]{{0,9}}{_LEVEL_AFTER_NAME})", "NAMES"),
)
_FIRST_WORDS = (
    Rule(
        ascii_letters + "_",
        rf"(?P<logger>{_NAME})(?=[ \t]{{1,9}}[-|][ \t]{{1,9}}(?:{levels.MAIN}|\[{levels.BRACKETED}\])[ \t]{{0,9}}(?:[-:|]|\[))",
        "NAMES",
    ),
    Rule(ascii_letters + "_", rf"(?P<thread>[\w.-]{{1,60}})(?=::{levels.MAIN}::)", "NAMES"),
)
_COMPOSE = Rule("", r"(?P<container>[A-Za-z0-9][\w.-]{0,63}) {1,30}\| {1,2}(?=[\w\[<])", "AGAIN")
_ACCESS = (
    Rule("", rf"(?!{_TWO_WORDS})[^\s\[]{{1,80}} \S{{1,64}} \S{{1,64}} \[(?P<timestamp>{instants.CLF})\] ", WHOLE),
    Rule("", rf"[^\s\[]{{1,80}} \[(?P<timestamp>{instants.CLF})\] ", WHOLE),  # HAProxy, written to a file
    Rule("[*", rf"(?:\[pid: |\*\*\* )[^\[\n]{{1,160}}\[(?P<timestamp>{instants.LETTERS})\] ", WHOLE),  # uWSGI
)
_FIRST_NAME_RUN = Rule(
    "", rf"(?=(?=-|[\w$]{{0,60}}[\d._/@:$-])(?:{_PREFIXED}){{1,5}}[\[(<]?{instants.BEGINNING})", "PREFIX"
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
_LIKE_INSTANT = Rule("", rf"(?=[\[(<]? ?{instants.BEGINNING})", "")

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
    Rule(" \t", rf"[ \t]{{1,9}}{_NO_LEVEL}(?P<logger>{_TAG})(?:<[\w<>+/=.-]{{1,60}}>)?(?:\[(?P<pid>\d{{1,10}})\])?:(?: |$)", "TAGGED"),
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
_HEADED = Rule("", _A_LEVEL_FOLLOWS, "PARTS", seen=True)
_STRIP = r"[ \t|:,-]*+"

_AFTER_FIRST_LEVEL = (
    Rule("[", rf"\[(?P<thread>{_IN_BRACKETS})\][ \t]{{1,9}}(?={instants.BEGINNING})", "THEN_INSTANT"),
    *_BEHIND_WORD,
    Rule("[", rf"(?<=[A-Z] )\[(?P<logger>{_NAME})\][ \t]{{1,9}}", END),
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
    "PREFIX": State("", (*_instant_rules("NAMED", "NAMED"), Rule("", _PREFIXED, "PREFIX")), WHOLE),
    "INSTANT": State("", (_HEADED, *_OTHER_TAGS), "STRIP"),
    "SYSLOG": State("", (*_SYSLOG_TAGS, _HEADED), "STRIP"),
    "NAMED": State("", (_HEADED,), WHOLE),
    "STRIP": State(_STRIP, (), END),
    "TAGGED": State("[ \t]*+", _BEFORE_MESSAGE, END),
    "PARTS": State(_BETWEEN, (*_IN_PARTS, *_PARTS), END),
    "NAMES": State(
        _BETWEEN,
        (
            *(rule._replace(then=_LEVEL_BEFORE.get(rule.then, rule.then)) for rule in _BEFORE_MESSAGE),
            *_FIRST_NAMES,
        ),
        END,
    ),
    "LEVEL": State(_GAP, _BEHIND_WORD, END),
    "BRACKET": State(_GAP, _BEHIND_BRACKET, END),
    "LOGGED": State(_GAP, (), END),
    "FIRST_LEVEL": State(_GAP, (_LIKE_INSTANT._replace(then="SECOND_INSTANT"), *_AFTER_FIRST_LEVEL), END),
    "SECOND_INSTANT": State("", _instant_rules("BEHIND_BOTH", "BEHIND_BOTH"), "AFTER_FIRST_LEVEL"),
    "AFTER_FIRST_LEVEL": State("", _AFTER_FIRST_LEVEL, END),
    "FIRST_BRACKET": State(_GAP, (_LIKE_INSTANT._replace(then="THIRD_INSTANT"), *_BEHIND_BRACKET), END),
    "THIRD_INSTANT": State("", _instant_rules("BEHIND_BOTH", "BEHIND_BOTH"), "AFTER_BRACKET"),
    "AFTER_BRACKET": State("", _BEHIND_BRACKET, END),
    "THEN_INSTANT": State("", _instant_rules("BEHIND_BOTH", "BEHIND_BOTH"), END),
    "BEHIND_BOTH": State(
        _GAP,
        (
            Rule(ascii_letters + "_", r"(?P<logger>[A-Za-z_][\w.]{0,80}) (?P<pid>\d{1,10}) (?P<tid>\d{1,20})[ \t]", END),
            *_BEHIND_WORD,
        ),
        END,
    ),
    "TAG": State(" {1,3}", (Rule("", r"(?P<logger>[^:\n]{1,80}?) {0,30}:(?: |$)", END),), END),
    "TASK": State("[ \t]*+", (Rule("", r"(?P<logger>[A-Za-z_][\w.]{0,120})\[[0-9a-f-]{8,40}\](?:: )?", END),), END),
}
