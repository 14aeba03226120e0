"""What may stand between an instant and the message: parts of any kind up to a level, and the level."""

from __future__ import annotations

from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

from agent.parse.formats import _levels as levels
from agent.parse.formats._grammar import (
    BETWEEN,
    DOTTED,
    EDGE,
    END,
    FILE,
    IN_BRACKETS,
    NAME,
    NO_SUBJECT,
    NUMBER_EDGE,
    Rule,
    any_of,
)

# ---------------------------------------------------------------- a level behind an instant and other parts

PHP = (
    "(?:Recoverable |Catchable )?[Ff]atal error|(?:Core |Compile |User )?(?:Warning|Error|Notice|Deprecated)"
    "|Parse error|Strict Standards"
)
PROCESS = r"[\w.-]{1,40}(?:\[\d{1,10}\][ :]|  ?\[\d{1,10}\]\w)"
_WORD = r"(?=[A-Za-z]{1,12}+\d?+(?:[^\w.@$]|$))"  # where a level may stand by itself


def _word(pattern: str, then: str, *, capitals: bool = False) -> Rule:
    return Rule(ascii_uppercase if capitals else levels.FIRST_LETTERS, pattern, then, guard=_WORD)


_IN_CAPITALS = (
    _word(rf"(?:(?<=[,;])|(?<=[,;] ))(?P<level>{levels.WORDS})[,;]", "LEVEL"),  # CSV
    _word(
        rf"(?P<level>{levels.CAPITALS})(?![^ \t\n|:\])>\[,-])(?!,[^ \t]|-[^ \t\n>-]){NO_SUBJECT}",
        "LEVEL",
        capitals=True,
    ),
    # Celery: `[instant: ERROR/ForkPoolWorker-1] task[id]: …`
    _word(rf"(?P<level>{levels.CAPITALS})/(?P<thread>[\w.@:-]{{1,60}})\](?=[ \t]|$)", "TASK", capitals=True),
    _word(rf"(?P<level>{levels.POSTGRES})(?=:  )", "LEVEL", capitals=True),
    # In any case before a mark, in a column (zap, Windows' CBS), before the name of a process
    _word(rf"(?P<level>{levels.WORDS})(?=[ \t]{{0,9}}(?:[|:](?!:)|- )|\t|  | {PROCESS})", "LEVEL"),
)
_IN_BRACKETS_ALONE = (
    Rule("[", rf"\[ {{0,9}}(?P<level>{levels.BRACKETED}|{levels.LETTERS}) {{0,9}}\]", "BRACKET"),
    Rule("[", rf"\[(?P<logger>[\w.*-]{{0,60}}):(?P<level>{levels.BRACKETED})\]", "BRACKET"),  # Apache
    Rule("[", rf"\[(?P<thread>[^\[\]/\n]{{1,60}})/(?P<level>{levels.CAPITALS})\]", "BRACKET"),
    Rule("<({", rf"[<({{] {{0,9}}(?P<level>{levels.BRACKETED}) {{0,9}}[>)}}](?=[ \t:]|$)", "BRACKET"),
    Rule("<({", rf"[<({{](?P<level>{levels.LETTERS})[>)}}](?=[ \t:]|$)", "BRACKET"),
    Rule('"', rf'"(?P<level>{levels.BRACKETED})"(?:[,;\t]|$)', "BRACKET"),  # CSV
    # Pairs of which one is the level: the structured data of VMware's syslog
    Rule(
        "[",
        rf'\[[^\[\]\n]{{0,300}}? (?:level|severity)="?(?P<level>{levels.WORDS})"?(?: [^\[\]\n]{{0,300}})?\] {{0,9}}',
        END,
    ),
)
_BY_NAME = (
    Rule("P", rf"(?=(?:PHP message: )?PHP (?P<level>{PHP}):[ \t])", END, second="H"),
    Rule(
        ascii_letters + "_", rf"(?P<logger>[A-Za-z_][\w-]{{0,60}})\.(?P<level>{levels.CAPITALS}):(?=[ \t]|$)", "LOGGED"
    ),  # Monolog
)
BEFORE_MESSAGE = (*_IN_BRACKETS_ALONE, *_IN_CAPITALS, *_BY_NAME)
_SYSTEM_LOG = Rule(  # macOS: `log show`, and below its compact style
    "0",
    r"0x[0-9a-f]{1,16} {1,12}(?P<level>Default|Info|Debug|Error|Fault) {1,12}0x[0-9a-f]{1,16} {1,24}"
    r"(?P<pid>\d{1,9}) {1,9}\d{1,6} {1,9}(?P<logger>[\w.-]{1,60}): ",
    END,
    second="x",
)
_SPECIAL = 3  # the first rules only say more of what later ones would take
IN_PARTS = (
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
    *BEFORE_MESSAGE,
    Rule(  # Python's tutorial
        ascii_letters + "_$",
        rf"(?P<logger>{NAME})[ \t]{{1,9}}-[ \t]{{1,9}}(?P<level>{levels.WORDS})[ \t]{{1,9}}-[ \t]{{1,9}}",
        END,
    ),
    # logcat: https://developer.android.com/tools/logcat
    Rule(digits, r"(?P<pid>\d{1,7})[ -]{1,7}(?P<tid>\d{1,7}) {1,3}(?P<level>[VDIWEFS])(?= )", "TAG"),
    Rule(
        "VDIWEFS",
        r"(?P<level>[VDIWEFS])/(?P<logger>[^(\n]{1,60}?) {0,30}\( {0,6}(?P<pid>\d{1,7})\):(?: |$)",
        END,
        second="/",
    ),
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
    Rule("ls", rf"(?=(?:level|lvl|severity)(?:=|: )\"?(?P<level>{levels.WORDS})\"?[ \t,])", END, second="ev"),
    Rule(  # OpenWrt's logread
        ascii_lowercase,
        r"(?:kern|user|mail|daemon|auth|syslog|lpr|news|authpriv|ftp|cron|local\d)"
        r"\.(?P<level>emerg|alert|crit|err|warn|notice|info|debug) "
        r"(?:(?P<logger>[\w./-]{1,60})(?:\[(?P<pid>\d{1,10})\])?:(?: |$))?",
        END,
    ),
    Rule(ascii_lowercase, rf"(?P<logger>[a-z][\w-]{{1,40}}): (?P<level>{levels.FIRST_WORDS}): ", END),  # BIND
)

# ---------------------------------------------------------------- other parts before a level

# A word of a sentence is none of them: they hold a digit or a mark, or are capitals; a plain word only next to a level.
_NO_NAME = (
    "(?!(?:[Aa]n?|[Tt]he|[Nn]o|[Aa]nd|[Oo]r|[Ww]ith|[Gg]ot|[Rr]eceived|[Tt]his|[Tt]hat|[Oo]f|[Oo]n|[Ii]n|[Tt]o|[Ff]or"
    r"|[Ff]rom|[Ii]s|[Ww]as|[Aa]ny|[Aa]s|[Bb]y|[Aa]t|[Nn]ew|[Ff]irst|[Ll]ast)[ \t])"
)
PARTS = (
    Rule("pP", r"(?:pid|PID)[=: ]{1,2}(?P<pid>\d{1,18})" + EDGE, "PARTS"),
    Rule(  # PostgreSQL's user and database
        ascii_letters + digits + "_$[",
        r"(?:\[unknown\]|(?P<user>[A-Za-z0-9_$][\w$.-]{0,62}))@(?:\[unknown\]|(?P<database>[\w$.-]{1,63}))"
        r"(?= [A-Z1-9]{3,9}:  )",
        "PARTS",
    ),
    Rule(ascii_letters + "_", r'[A-Za-z_][\w.]{0,40}=[^\s"]{0,160}', "PARTS"),
    Rule(
        "[(",
        r"[\[(](?:pid[ :=]{0,2})?(?P<pid>\d{1,18})(?:[:/ ](?:tid[ :=]{0,2})?(?P<tid>\d{1,18}))?[\])]",
        "PARTS",
    ),
    Rule("[", r"\[\d{1,18}-\d{1,10}\]", "PARTS"),
    Rule("{", r"\{[\w-]{0,60}\}", "PARTS"),  # ClickHouse's query
    Rule("{", rf"\{{{{1,2}}(?P<file>{FILE}):(?P<line>\d{{1,6}})\}}{{1,2}}", "PARTS"),
    Rule("[", r"\[(?P<logger>[\w.]{1,100}) {1,60}:(?P<line>\d{1,6}) {0,9}\]", "PARTS"),  # Salt
    Rule("[", rf"\[(?P<where>{IN_BRACKETS})\]", "PARTS"),
    Rule("(", r"\((?P<thread>[\w .:/#-]{1,60})\)", "PARTS"),
    Rule("<", r"<[\w.:/-]{1,60}>", "PARTS"),
    Rule('"', r'"[^"\n]{0,80}"(?=[,;\t])', "PARTS"),
    Rule(
        ascii_letters + digits, r"(?P<client>[A-Za-z0-9][\w.-]{0,80})\((?P<port>\d{1,5})\)(?=[: ])", "PARTS"
    ),  # PostgreSQL's %r
    Rule(digits, r"(?P<pid>\d{1,18})(?:#(?P<tid>\d{1,10}))?" + NUMBER_EDGE, "PARTS"),
    Rule(ascii_letters + "_", r"(?P<logger>[A-Za-z_][\w./-]{0,60})\[(?P<pid>\d{1,10})\]", "PARTS"),
    Rule(
        ascii_letters + digits + "_./",
        rf"(?P<file>{FILE}):(?P<line>\d{{1,6}})" + EDGE,
        "PARTS",
    ),
    Rule(ascii_letters + "_$", rf"(?P<logger>{DOTTED})(?::\d{{1,6}})?" + EDGE, "PARTS"),
    Rule(ascii_letters + digits + "_$", r"(?=[\w$]{0,60}[\d._/@$-])[\w$][\w$./@:-]{1,120}" + EDGE, "PARTS"),
    Rule(ascii_uppercase, r"[A-Z][A-Z0-9_]{1,40}(?=[ \t|](?!ALERT))", "PARTS"),
    Rule(
        ascii_letters + "_",
        rf"{_NO_NAME}(?P<logger>[A-Za-z_]\w{{0,60}})(?=[ \t]{{1,30}}(?:(?:\||-|:)[ \t]{{1,9}})?"
        rf"(?:{levels.MAIN}(?=[ \t|:]|$)|\[ ?{levels.BRACKETED} {{0,9}}\]|(?<=- ){levels.WORDS} {{1,9}}- ))",
        "PARTS",
    ),
)


# Of a message most are told by its first word: a word in small letters, then one that begins neither in capitals nor
# with a mark, is no part of a head, unless it is a level before the name of a process.
A_LEVEL_FOLLOWS = (
    rf"(?={BETWEEN}(?![A-Za-z][a-z]*+ (?!{PROCESS})[^A-Z\[|:<({{ -])"
    rf"(?:(?>{any_of(PARTS)}){BETWEEN}){{0,8}}?{any_of(IN_PARTS[_SPECIAL:])})"
)
