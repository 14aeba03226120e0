"""The template of a message: its text with every value replaced by `<*>`.

A value is a number, an identifier with a digit in it, a path, file name, URL, host, address, date, quoted text, a list
of words in brackets, or what follows `key=`; with its unit, and lists of values as one. Names of people and things that
are plain words (`user root`, `unknown column price`) are values where the words before them say so. What no rule can
tell from one message is left to `agent.group.miner`, which sees many.

The rules know English and the customs of log messages, no program. They judge each word once and remember the verdict
(for words with digits, that of all words of their shape), because one regular expression over the whole text took 40
to 200 µs per message; so it is 5 to 15.
"""

from __future__ import annotations

import re

from agent.core.patterns import lazy

VALUE = "<*>"
MESSAGE_CHARS = 2_000  # masking is linear; a longer message adds nothing to its identity
_ROUNDS = 8  # a value found can make its neighbour one; real messages need two rounds
_WORDS = 8_192  # words and shapes whose verdict is remembered
_WORD_CHARS = 32  # longer ones are seldom seen twice
_CACHED = 2_048  # messages that are remembered in each of two ways, 1 MB at the most
_CACHED_CHARS = 300
_V = "\0"  # a value while the rules work: one character, and no word

_SEPARATOR = lazy(r"(\.{2,}(?![/\\])|[\s=:,;()\[\]{}<>|\"'`#\0]+)")
_DIGIT = lazy(r"\d")
_ZEROS = str.maketrans("123456789", "000000000")  # 0.3 µs; a regular expression takes 1 µs per word
_NAMES_WITH_DIGITS = [
    "utf8", "utf-8", "utf16", "utf-16", "utf32", "utf-32", "ipv4", "ipv6", "md5", "sha1", "sha-1", "sha224", "sha256",
    "sha-256", "sha384", "sha512", "sha-512", "base64", "x509", "x86", "x86_64", "amd64", "arm64", "http2", "oauth2",
    "k8s", "s3", "ec2", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
]  # fmt: skip
_DRIVE = lazy(r"\b[A-Za-z]:(?=\\)")
_PATH = lazy(r"(?:\\|\.{0,2}/|~/).+|[^/]+/[^/]+/.*|[^/]+/[^/.]*\..+|[^/][^/.]*\.[^/]*/.*", re.IGNORECASE)
_H = "[0-9a-fA-F]"
_COLONS = lazy(  # what the colons of an address would take apart: `[2001:db8::1]:443`, `::1`, `ff:ff:ff:ff:ff:ff`
    rf"\[{_H}{{0,4}}(?::[0-9a-fA-F.]{{0,15}}){{2,8}}(?:%\w{{1,16}})?\](?::\d{{1,5}})?"
    rf"|(?<![\w:.])(?:::{_H}[0-9a-fA-F:.]{{0,39}}|{_H}{{2}}(?::{_H}{{2}}){{5}})(?![\w:])"
)
_HOST = lazy(
    r"(?:[\w-]+\.)+(?:com|net|org|edu|gov|mil|info|biz|io|dev|app|cloud|local|internal|lan|localdomain|example|test"
    r"|(?:ac|co|com|edu|gov|net|org)\.[a-z]{2}|de|uk|fr|nl|eu|jp|cn|ru|br|it|pl|se|ch|at)",
    re.IGNORECASE,
)
_FILE = lazy(
    r"\.?[\w+-][\w.+-]*\.(?:txt|logs?|json|ya?ml|xml|csv|tsv|html?|conf|cfg|ini|toml|env|properties|gz|zip|tar|tgz|bz2|xz|zst"
    r"|jar|war|so|dll|exe|png|jpe?g|gif|svg|pdf|docx?|xlsx?|db|sqlite|sql|parquet|tmp|bak|swp|pem|key|crt|lock|pid|sock)",
    re.IGNORECASE,
)
_URL = lazy(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>\])]+", re.IGNORECASE)

# The value of a key that says what happened is no value: `error=timeout` and `error=refused` are two troubles.
_OUTCOMES = "err error errno reason cause code exception msg message status state type kind class event action op level"
_KEYS = [*_OUTCOMES.split(), *_OUTCOMES.title().split()]
_OUTCOME = lazy(rf"(?<![\w.-])(?:{_OUTCOMES.replace(' ', '|')})=", re.IGNORECASE)
_OUTCOME_CHARS = 10  # no such key with its sign is longer
_QUOTED = lazy(
    # Of a request line the method stays: GET and DELETE are not one trouble.
    r'"((?:GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS|CONNECT|TRACE) )?[^"\n]{0,500}"'
    r"|(?<!\w)'[^'\n]{0,500}'(?!\w)|`[^`'\n]{0,500}[`']"
)
# Of `in state 'Inactive'` what is quoted stays as well, where it is one word.
_STATED = lazy(r"(?:state|status|reason|cause|code|errno|signal) $", re.IGNORECASE)
_STATE = lazy(r"\W[^\W\d_]+\W")
_NO_OUTCOME = "".join(f"(?<!{key}=)" for key in _KEYS)
_ASSIGNED = lazy(rf"=(?<![=!<>:]=){_NO_OUTCOME}(?![=\0>~])[^,;()\[\]=]+(?!=)")
_ASSIGNED_APART = lazy(rf" = {_NO_OUTCOME.replace('=)', ' = )')} *(?!\0)[^\s,;()\[\]=]+(?!=)")
_FLAG = lazy(r"= (?:true|false|null|none|nil)\b", re.IGNORECASE)

# What surrounds a value belongs to it. All begin with a character that is found at once.
_ADDRESS = lazy(r"\0(?:(?::[0-9a-fA-F]{0,4}){0,8}:\0)+(?::[0-9a-fA-F]{2}\b)?")
_SERVER = lazy(r"(?<![\w.-])(?:localhost|[a-z_-]+(?:\.[a-z_-]+)+)(?=:\0)")
_UNIT = lazy(
    r"\0 ?(?:[kKMGTP]?i?[bB]|[Bb]ytes?|bits?|[mun]?s|secs?|[Ss]econds?|millis(?:econds?)?|micros(?:econds?)?|mins?"
    r"|[Mm]inutes?|h|[Hh]ours?|[Dd]ays?|%|[kKMG]?[Hh]z|UTC|GMT|[ECMP][SD]T|[CEW]ES?T|[aApP][mM])(?![\w/-])"
)
_HOSTS = lazy(r"(?<![\w-])[\w-]{1,100}-\[\0\]")  # node-[1-5,7]
_LIST = lazy(r"\0(?:[\s,.:;/|x#*+~-]*\0| \(\0\))+")  # and what it is in other words: `1190 bytes (1.16 KB)`
_WORDS_IN_BRACKETS = lazy(r"(?<=[\[{])[\w.\0-]+(?:, ?[\w.\0-]+)+(?=[\]}])")  # [name, price]
_REPEATED = lazy(r"\0([^\0]{1,24})\0(?:\1\0)+")

_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
_CALENDAR = frozenset(name[:length] + end for name in [*_DAYS, *_MONTHS] for length in (3, 9) for end in ("", ",", "."))
_DAY = rf"(?:{'|'.join(day[:3] for day in _DAYS)})[a-z]{{0,6}}[,.]?"
_MONTH = rf"(?:{'|'.join(month[:3] for month in _MONTHS)})[a-z]{{0,6}}[,.]?"
_DATE = lazy(rf"(?:{_DAY} )?(?:{_MONTH} \0|\0 {_MONTH}(?!\w))|{_DAY} \0")

# `session opened for user ann`, `unknown column price`, `password for root`: the word after it is a name.
_THINGS = (
    "user username account group role host hostname node database schema table column field key property parameter"
    " option variable topic queue bucket namespace pod plugin package tenant customer domain"
)
_CREDENTIALS = "password login logon authentication credentials"
_NAMING = frozenset([*_THINGS.split(), *_CREDENTIALS.split(), *_CREDENTIALS.title().split()])
_NAMED_KEYS = tuple(_THINGS.split())
_FLAGS = frozenset({"true", "false", "null", "none", "nil", "yes", "no", "on", "off"})
_NO_NAME = (
    r"(?!(?:an?|the|this|that|is|are|was|were|has|have|had|not|no|can|cannot|could|does|did|do|and|or|for|from|to|in"
    r"|on|at|by|of|as|with|id|names?|already|unknown|invalid|error|failed|failure|timeout|down|up|unreachable"
    r"|unavailable|missing|values?|types?|input|requests?|violates|constraint|[a-z]{3,30}(?:ed|ing))\b)"
)
_NAMED = lazy(
    r"\b((?:for|from|to|by|of|on|in|at|as|such|[Ii](?:nvalid|llegal)|[Uu]n(?:known|defined)|[Mm]issing|[Dd]uplicate) "
    rf"(?:the )?(?:{_THINGS.replace(' ', '|')})|(?:{'|'.join(_NAMING - frozenset(_THINGS.split()))}) for"
    rf"(?! user\b| account\b)) {_NO_NAME}"
    r"[^\s=:,;()\[\]{}<>|\"'#\0]+"
)
# `table user_accounts`: a word with an underscore after a thing is its name, whatever stands before.
_NAMED_THING = lazy(rf"\b({_THINGS.replace(' ', '|')}) (?=[a-zA-Z]+_)\w+(?![\w(])")


class _Words(dict[str, str]):
    """Word to its verdict: the word with its values masked."""

    def __missing__(self, word: str) -> str:
        shape = word.translate(_ZEROS)
        if shape != word and (verdict := self.get(shape)) is not None:
            return verdict
        verdict = _judge(shape)
        if len(shape) <= _WORD_CHARS:
            if len(self) >= _WORDS:
                self.reset()
            self[shape] = verdict
        return verdict

    def reset(self) -> None:
        """Forget all but the names that look like values."""
        self.clear()
        names = [*_NAMES_WITH_DIGITS, *map(str.upper, _NAMES_WITH_DIGITS), "IPv4", "IPv6", "OAuth2"]
        self.update(zip(names, names, strict=True))


_words = _Words()
_words.reset()
_sketches: dict[str, str] = {}  # messages with zeros for their digits -> what they become
_joined: dict[str, str] = {}  # judged words with blanks between -> what they become together
# Where one of the names with digits may be, the digits matter.
_MAY_BE_NAMES = lazy("|".join({re.escape(name.translate(_ZEROS)) for name in _words}))


def mask(message: str) -> str:
    """The message with its values replaced by `<*>` and its white space by single blanks.

    Masking what is masked changes nothing. Messages with equal `sketch` have equal templates.
    """
    text = sketch(message)
    for _ in range(_ROUNDS):
        before = text
        text = _REPEATED.sub("\\0\\1\\0", _sketched(text))
        if text == before:
            break
    return text.replace(_V, VALUE)


def sketch(message: str) -> str:
    """The template after one round: cheaper than `mask`, and enough to recognise a message that was seen before.

    Messages that differ in digits alone have one: all but the first of them cost 1 µs instead of 20.
    """
    if len(message) > _CACHED_CHARS:
        return _sketched(message[:MESSAGE_CHARS].replace(VALUE, _V))
    shape = message.translate(_ZEROS)
    found = _sketches.get(shape)
    if found is None:
        found = _sketched(message.replace(VALUE, _V))
        if _MAY_BE_NAMES.search(shape) is None:
            _remember(_sketches, shape, found)
    return found


def _remember(cache: dict[str, str], key: str, found: str) -> str:
    if len(key) <= _CACHED_CHARS:
        if len(cache) >= _CACHED:
            cache.clear()
        cache[key] = found
    return found


def _sketched(text: str) -> str:
    if '"' in text or "'" in text or "`" in text:
        text = _QUOTED.sub(_unquoted, text)
    known = _words
    words = text.split()
    if "=" in text and all("=" in word for word in words):
        words = [_pair(word) for word in words]
    else:
        words = [word if word.isalpha() else known[word] for word in words]
    text = " ".join(words)
    found = _joined.get(text)
    if found is None:
        found = _remember(_joined, text, _merged(text, words))
    return found


def _pair(word: str) -> str:
    """`key=value` of a message that has nothing else, where a plain word says what happened unless it is a name."""
    key, _, value = word.partition("=")
    value = value.rstrip(",;")
    named = key.lower().endswith(_NAMED_KEYS) or value.lower() in _FLAGS
    return word if value.isalpha() and key.isidentifier() and not named else _words[word]


def _merged(text: str, words: list[str]) -> str:
    """Judged words with what several of them make together."""
    if not _NAMING.isdisjoint(words):
        text = _NAMED.sub(_without_name, text)
        if "_" in text:
            text = _NAMED_THING.sub(_without_name, text)
    if "= " in text:
        text = _FLAG.sub("= \0", _ASSIGNED_APART.sub(" = \0", text))
    if "," in text:
        text = _WORDS_IN_BRACKETS.sub(_V, text)
    if _V not in text:
        return text
    if ":\0" in text:
        text = _SERVER.sub(_V, _ADDRESS.sub(_V, text))
    text = _LIST.sub(_V, _UNIT.sub(_V, text))
    if not _CALENDAR.isdisjoint(words):
        text = _LIST.sub(_V, _UNIT.sub(_V, _DATE.sub(_V, text)))
    if "-[\0" in text:
        text = _HOSTS.sub(_V, text)
    if " <\0" in text:
        text = text.replace(" <\0", " \0")
    return text


def _without_name(found: re.Match[str]) -> str:
    return f"{found[1]} {_V}"  # a template would have to be expanded: 3 µs, found or not


def _unquoted(quoted: re.Match[str]) -> str:
    start = quoted.start()
    if _OUTCOME.fullmatch(quoted.string, max(0, quoted.string.rfind(" ", 0, start) + 1, start - _OUTCOME_CHARS), start):
        return quoted[0]
    if _STATED.search(quoted.string, max(0, start - _OUTCOME_CHARS), start) and _STATE.fullmatch(quoted[0]):
        return quoted[0]
    return f"{quoted[1] or ''}{_V}"


def _judge(word: str) -> str:
    """A word between blanks with its values masked."""
    if word in {"()", "[]"}:
        return f"{word[0]}{_V}{word[1]}"  # a value that is empty this time
    if ":\\" in word:
        word = _DRIVE.sub("", word)
    if word.count(":") > 1:
        word = _COLONS.sub(_V, word)
    if "://" in word:
        word = _URL.sub(_V, word)
    word = "".join([_V + _ending(part) if _is_value(part.rstrip(".!?")) else part for part in _SEPARATOR.split(word)])
    return _ASSIGNED.sub("=\0", word) if "=" in word else word


def _ending(part: str) -> str:
    return "." if part[-1] in ".!?" else ""


def _is_value(part: str) -> bool:
    """Whether a part of a word, without what ends a sentence, is a value."""
    if _DIGIT.search(part):
        return True
    if "/" in part or "\\" in part:
        return len(part) > 1 and _PATH.fullmatch(part) is not None
    if "@" in part:
        return len(part) > 1
    if "." in part:
        return _HOST.fullmatch(part) is not None or _FILE.fullmatch(part) is not None
    return len(part) > 1 and part.strip("*") == ""  # what somebody has blotted out
