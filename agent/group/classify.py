"""The category of an error: what kind of trouble it is, by the name of its exception or the words of its message."""

from __future__ import annotations

import re
from functools import lru_cache

UNKNOWN = "unknown"
_CHARS = 500  # what kind of trouble it is stands at the beginning

# Exception names and message words of Python, Java, Node, Go, Ruby and .NET; the first that matches decides. Codes
# begin a word: FileNotFound holds ENOTFOUND.
_CATEGORIES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (category, re.compile(words, re.IGNORECASE))
    for category, words in (
        (
            "resource",
            (
                r"MemoryError|OutOfMemory|out of memory|heap space|no space left|\bENOSPC|\bEMFILE|too many open files"
                r"|RecursionError|StackOverflow|pool (?:exhausted|is full|timeout)|disk full|quota\b"
            ),
        ),
        (
            "permission",
            (
                r"Permission|AccessDenied|access denied|\bEACCES|\bEPERM|Unauthorized|Forbidden|not authori[sz]ed"
                r"|SecurityException|Authentication"
            ),
        ),
        (
            "network",
            (
                r"Connection|Socket|Timeout|timed out|\bECONN|\bENOTFOUND|\bEHOSTUNREACH|UnknownHost|\bDNS|gaierror"
                r"|SSL|\bTLS|Http(?:Request)?Exception|broken pipe|\bEPIPE|unreachable|RequestError|no route to host"
            ),
        ),
        (
            "filesystem",
            (
                r"FileNotFound|NoSuchFile|\bENOENT|no such file|IsADirectory|NotADirectory|DirectoryNotFound|\bEEXIST"
                r"|read-only file system|FileSystem"
            ),
        ),
        (
            "configuration",
            (
                r"Configuration|ImproperlyConfigured|config(?:uration)? (?:error|missing|invalid)"
                r"|missing (?:setting|env)|BeanCreation|environment variable"
            ),
        ),
        (
            "dependency",
            (
                r"ImportError|ModuleNotFound|ClassNotFound|NoClassDefFound|NoSuchMethodError|MODULE_NOT_FOUND|LoadError"
                r"|DllNotFound|cannot find module|OperationalError|SQLException|SQLSTATE|Redis(?!t)"
                r"|Kafka|Mongo|upstream"
            ),
        ),
        (
            "validation",
            (
                r"Validation|ValueError|TypeError|KeyError|IndexError|AttributeError|IllegalArgument|IllegalState"
                r"|NullPointer|NullReference|nil pointer|undefined is not|Cannot read propert|FormatException"
                r"|ParseError|JSONDecode|SyntaxError|IndexOutOf|index out of range|ArgumentError|NoMethodError"
                r"|ClassCast|DivideByZero|ZeroDivision|Arithmetic|Unicode(?:De|En)code|decode error|Assertion"
            ),
        ),
        ("user input", r"bad request|invalid (?:input|request|parameter|argument)|unprocessable|malformed"),
    )
)


def classify(exception_type: str | None, message: str) -> str:
    """One of network, filesystem, configuration, validation, dependency, resource, permission, user input, unknown."""
    found = _of_type(exception_type[:_CHARS]) if exception_type else UNKNOWN
    return found if found != UNKNOWN or not message else _of_text(message)


def _of_text(text: str) -> str:
    return next((category for category, pattern in _CATEGORIES if pattern.search(text, 0, _CHARS)), UNKNOWN)


_of_type = lru_cache(1_024)(_of_text)  # the same few types come again in every transaction: 20 µs each
