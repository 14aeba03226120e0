"""What may stand behind a level: loggers, threads, places in the code, by the layouts that have them there."""

from __future__ import annotations

from string import ascii_letters, ascii_uppercase, digits

from agent.parse.formats._grammar import AFTER_NAME, DOTTED, END, FILE, IN_BRACKETS, NAME, NO_EXCEPTION, PIPED, Rule

# ---------------------------------------------------------------- behind a level

_FIRST_IN_BRACKETS = (
    Rule("[", r"(?<=\])\[(?P<pid>\d{1,18})\][ \t]?", END),
    Rule("[", r"(?<=\])\[(?P<logger>[a-z]\.[a-z]\.[\w.$-]{1,100}) {0,60}\] \[(?P<node>[\w.-]{1,80})\] ?", END),
    Rule(
        "[",
        r"(?<=\])\[(?P<logger>[\w.$/:@#-]{1,100}) {0,60}\]"
        rf"(?: \[(?P<file>{FILE}):(?P<line>\d{{1,6}})\])?[ \t]?",
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
    Rule("[", rf"\[(?P<thread>{IN_BRACKETS}):(?P<logger>[\w.$]{{1,100}})@(?P<line>\d{{1,6}})\](?: - |[ \t])", END),
    Rule("[", rf"\[(?P<thread>{IN_BRACKETS})\][ \t]{{1,20}}(?P<logger>{NAME}){AFTER_NAME}", END),  # log4j
    Rule("[", r"\[(?P<logger>[\w.$-]{1,120})\] \((?P<thread>[^)\n]{1,80})\)[ \t]", END),  # JBoss, Quarkus
    # Tomcat: no mark between logger and message
    Rule("[", rf"\[(?P<thread>{IN_BRACKETS})\] (?P<logger>[a-z]\w{{0,40}}(?:\.[\w$]{{1,80}}){{2,14}})[ \t]", END),
    Rule("[", r"\[(?P<logger>[A-Za-z_][\w./-]{0,80}):(?P<line>\d{1,6})\][ \t]", END),
    Rule(
        "[",
        rf"\[(?P<logger>[a-z_]\w{{0,60}}(?:::\w{{1,60}}){{1,8}})\] (?:(?P<file>{FILE}):(?P<line>\d{{1,6}}): )?",
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
    Rule(digits, r"(?=(?P<pid>\d{1,10})#(?P<tid>\d{1,10}):)", END),  # nginx
)
_NO_SENTENCE = r"(?![\w$]++ [\w\"'])"


def _named(starts: str, pattern: str, then: str = END) -> Rule:
    return Rule(starts, pattern, then, guard=_NO_SENTENCE)


_NAMES_BEHIND = (
    _named(ascii_letters + "_$", rf"(?P<logger>(?>{DOTTED})){NO_EXCEPTION}{AFTER_NAME}"),
    _named(
        ascii_letters + digits + "_./",
        rf"(?P<file>{FILE}):(?P<line>\d{{1,6}})(?: -|:| >|\]:?)(?:[ \t]|$)",
    ),
    _named(ascii_letters, rf"(?P<file>{FILE}) \(line (?P<line>\d{{1,6}})\)[ \t]"),
    _named(ascii_letters + "_$", rf"(?P<logger>(?>{DOTTED})){NO_EXCEPTION}:(?P<line>\d{{1,6}}){AFTER_NAME}"),
    _named(ascii_letters + "_$", rf"(?P<logger>{DOTTED}) (?=\[(?:req-|-\]))"),  # OpenStack
    _named(ascii_letters + "_", r"(?P<logger>[A-Za-z_][\w.-]{0,60})\[(?P<pid>\d{1,10})\]:?[ \t]"),
)
_BEHIND_ALL = (
    Rule(  # AWS Lambda
        digits + "abcdef",
        r"(?P<invocation>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\t",
        END,
        second=digits + "abcdef",
    ),
    Rule("", rf"{PIPED}(?P<thread>[^|\n]{{1,60}}?) {{1,30}}\| {{1,3}}(?P<logger>[^\s|]{{1,120}}) {{1,60}}\| ?", END),
    Rule("", rf"{PIPED}(?P<logger>[^\s|]{{1,120}}) {{0,60}}(?: - |\| ?)", END),  # loguru, NLog
)
BEHIND_BRACKET = (*_FIRST_IN_BRACKETS, *_IN_BRACKETS_BEHIND, *_NUMBERS_BEHIND, *_NAMES_BEHIND, *_BEHIND_ALL)
BEHIND_WORD = (
    *_IN_BRACKETS_BEHIND,
    *_NUMBERS_BEHIND,
    *_NAMES_BEHIND,
    _named(ascii_letters + digits + "_.-$", r"(?<=[A-Z]:)(?P<logger>[\w.$-]{1,120}):", "LOGGED"),
    _named(  # tracing: spans with their fields before the target
        ascii_letters + "_",
        r"[A-Za-z_]\w{0,60}\{[^}\n]{0,200}\}:(?:[\w-]{1,60}(?:\{[^}\n]{0,200}\})?:){0,6} "
        r"(?P<logger>\w{1,60}(?:::\w{1,60}){0,8}): ",
    ),
    _named("T", r"ThreadId\((?P<tid>\d{1,9})\) (?P<logger>\w{1,60}(?:::\w{1,60}){0,8}): "),
    _named(  # Java's simple names
        ascii_uppercase,
        rf"(?P<logger>(?>[A-Z][a-z0-9]{{1,40}}(?:[A-Z][A-Za-z0-9]{{0,40}}){{1,8}}\$?)){NO_EXCEPTION}:(?:[ \t]|$)",
    ),
    _named(ascii_letters + "_$", r"(?P<logger>[A-Za-z_$][\w$.-]{0,80})[ \t]{1,30}-[ \t]"),
    _named(  # zap's console: logger and caller are columns, and a message before its fields is none
        ascii_letters + "_",
        rf"(?<=\t)(?P<logger>[A-Za-z_][\w.-]{{0,80}})\t(?:(?P<file>{FILE}):(?P<line>\d{{1,6}})\t)?(?![{{\n]|$)",
    ),
    _named(ascii_letters + digits + "_./", rf"(?<=\t)(?P<file>{FILE}):(?P<line>\d{{1,6}})\t"),
    _named(
        ascii_letters + "_",
        r"(?P<logger>[A-Za-z_$][\w.$-]{0,100}(?:::[\w$]{1,60}){0,8})(?::(?P<line>\d{1,6}))?\](?:[ \t]|$)",
    ),
    Rule(ascii_uppercase, r"(?<=  )(?P<logger>[A-Z][A-Z0-9]{1,15}) {2,9}", END),  # Windows' CBS
    *_BEHIND_ALL,
)
