"""How the instants look that may stand in the head of a line: texts of regular expressions without groups.

They only find where an instant ends; `agent.parse.instants.timestamps` reads it. Each is bounded in length.
"""

from __future__ import annotations

from agent.parse.formats import _levels as levels

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_LONG_MONTH = (
    "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|Oct(?:ober)?"
    "|Nov(?:ember)?|Dec(?:ember)?)"
)
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = rf"(?:{_DAY}(?:[a-z]{{0,6}}day)?,? )?"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,30})?"
_HALF = r"(?:[ \u202f\u00a0][AaPp][Mm])?"
_ZONE_NAMES = levels.any_of((
    "UTC", "GMT", "UT", "WEST", "WET", "BST", "WAT", "CEST", "CET", "MEST", "MET", "CAT", "EEST", "EET", "EAT",
    "SAST", "IDT", "IST", "MSK", "MSD", "PKT", "WIB", "HKT", "SGT", "AWST", "JST", "KST", "ACST", "ACDT", "AEST",
    "AEDT", "NZST", "NZDT", "HST", "HDT", "AKST", "AKDT", "PST", "PDT", "MST", "MDT", "CST", "CDT", "EST", "EDT",
    "NST", "NDT", "AST", "ADT", "GST", "SST",
))  # fmt: skip
_OFFSET = r"[+-]\d\d(?::?\d\d(?::\d\d)?)?"
_REGION = (
    "(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc)"
    r"(?:/[A-Za-z_+-]{2,24}\d{0,2}){1,2}"
)
# Behind an offset Go writes the zone's name and its monotonic clock, Java the region in brackets.
_ZONE = (
    rf"(?: ?(?:[Zz]|{_OFFSET}(?: (?:{_ZONE_NAMES}|[+-]\d{{4}}))?|(?:UTC|GMT)[+-]\d\d?(?::?\d\d)?|{_ZONE_NAMES}|"
    rf"{_REGION})(?:\[{_REGION}\])?(?![\w/])"
    r"(?: m=[+-]\d{1,20}\.\d{1,20})?)?"
)

# The commonest by itself: `2026-11-22T05:39:26.123Z` with all that libraries make of it. A zone that nobody knows
# belongs to it as well, where it surely is one: what cannot be told must not be read as if it were not there.
_UNKNOWN_ZONE = rf"[A-Z]{{3,5}}(?![\w/])| (?=[A-Z]{{2,5}} \[\d{{1,10}}\])(?!{levels.FIVE_LETTERS} )[A-Z]{{2,5}}"
# Between date and time: nothing else stands there, but some write them as two columns (fern's `[date][time]`, CSV).
_APART = r"(?:[Tt_]| {1,2}|, ?|[;\t]|\] ?\[| \| |\"[ \t,;]\")"
ISO = (
    rf"\d{{4}}[-/.]\d\d[-/.]\d\d{_APART}\d\d?:\d\d"
    rf"(?::\d\d(?:[.,]\d{{1,30}})?)?(?:{_UNKNOWN_ZONE}|{_ZONE})"
)
CLF = rf"\d\d/{_MONTH}/\d{{4}}[: ]{_CLOCK}(?: [+-]\d{{4}})?"
REDIS = rf"\d\d? {_MONTH}(?: \d{{4}})? {_CLOCK}"
DIGITS = "|".join((
    rf"\d\d?-{_MONTH}-\d{{4}} {_CLOCK}{_ZONE}",  # Tomcat, PHP, BIND
    rf"\d{{4}}[-/. ]{_MONTH}[-/. ]\d\d? {_CLOCK}{_ZONE}",  # Boost.Log
    rf"\d\d?{_MONTH}\d\d(?:\d\d)? {_CLOCK}{_ZONE}",  # Minecraft
    rf"\d{{8}}(?:[Tt-]| {{1,2}})\d\d?:\d\d?:\d\d?(?:[.,:]\d{{1,9}})?{_ZONE}",
    r"(?:19|20)\d\d[01]\d[0-3]\d [0-2]\d[0-5]\d[0-5]\d",
    rf"\d{{8}}[Tt.-]\d{{6}}(?:[.,]\d{{1,9}})?{_ZONE}",  # ISO 8601 without punctuation
    rf"\d{{4}}-\d{{3}}[Tt]{_CLOCK}{_ZONE}",  # and with the day of the year
    r"\d{6} \d{6}",  # HDFS
    r"\d{6} {1,2}\d\d?:\d\d:\d\d",  # MySQL up to 5.5
    rf"\d\d/\d\d/\d\d,? {_CLOCK}",  # Spark
    rf"\d\d?[ .]{_LONG_MONTH}(?:,? \d\d(?:\d\d)?)?,? {_CLOCK}{_ZONE}",  # Redis, RFC 822
    rf"\d\d-\d\d {_CLOCK}",  # Android
    rf"\d\d?[-/]\d\d?[-/]\d{{4}}(?:,  ?|{_APART})\d\d?:\d\d(?::\d\d(?:[.,]\d{{1,9}})?)?(?: [AaPp][Mm])?",  # Windows
    rf"\d\d?\.\d\d?\.\d\d(?:\d\d)?{_APART}\d\d?:\d\d(?::\d\d(?:[.,]\d{{1,9}})?)?",
    r"\d\d[./]\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,9})?",
))  # fmt: skip
SYSLOG = rf"{_MONTH} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{{1,9}})?(?! \d{{4}}[ \]:]| [A-Z]{{2,5}} \d{{4}})"
LETTERS = "|".join((
    rf"(?:{_DAY} )?{_MONTH} {{1,2}}\d\d? {_CLOCK}(?: {_ZONE_NAMES}| {_OFFSET})? \d{{4}}",  # ctime
    rf"{_LONG_DAY}{_LONG_MONTH} {{1,2}}\d\d?,? \d{{4}},? (?:at )?\d?\d:\d\d:\d\d(?:[.,]\d{{1,9}})?{_HALF}{_ZONE}",
    rf"{_DAY},? \d\d? {_MONTH} \d\d(?:\d\d)? {_CLOCK}{_ZONE}",  # RFC 1123, RFC 822
    rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d\d-{_MONTH}-\d{{2,4}} {_CLOCK}{_ZONE}",  # RFC 850
    rf"{_DAY} {_MONTH} {{1,2}}\d\d? {_CLOCK}",  # without a year
    rf"{_MONTH}-\d\d?-\d{{4}} {_CLOCK}{_ZONE}",
))  # fmt: skip
TAI64N = r"@4000[0-9a-f]{12}(?:[0-9a-f]{8})?"
TIME = rf"\d{{1,2}}:\d\d:\d\d(?:[.,]\d{{1,9}})? [AaPp][Mm]|{_CLOCK}(?: ?[+-]\d\d:?\d\d)?"
KITCHEN = r"\d{1,2}:\d\d(?:AM|PM)"  # zerolog's console
# Seconds from 2001 to 2036, milliseconds up to 2033; zap writes them with an exponent.
EPOCH = r"(?:1\d{9}|20\d{8})(?:\.\d{1,9})?|1\d{12}|1\.\d{3,12}e\+09"
KLOG = r"(?:20\d\d)?[01]\d[0-3]\d {1,2}\d\d:\d\d:\d\d(?:\.\d{1,9})?"
AFTER = r"(?![^ \t\n|,;:\[\]<{(>)\"-])"  # what may be next to an instant
AFTER_NUMBERS = r"(?![^ \t\n|,;:\[\]<{(>)\"-])(?![:-][^ \t\nA-Z])"  # where it is a number or a time alone
# What any of them begins with, and little else.
BEGINNING = (
    r"(?:\d{4}[-/.]\d\d[-/.\dT]|\d{4}[-/. ][A-Z][a-z]{2}|\d\d?[A-Z][a-z]{2}\d\d|[A-Z][a-z]{2}-\d|"
    r"\d\d?:\d\d|\d\d?[-/.]\d\d?[-/. ]|\d{6,8}[ T.-]|\d\d?[- /][A-Z][a-z]{2}|[A-Z][a-z]{2,8},? "
    r"|@4|1\d{9}|20\d{8}|1\.\d)"
)
PLAIN = rf"(?:\d{{4}}-\d\d-\d\d[T ]|\d{{6}} ){_CLOCK}(?:Z|[+-]\d\d:?\d\d)?"  # of libraries that know no other
