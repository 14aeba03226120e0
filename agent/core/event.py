"""Numbers that stored events carry: severities, and how the original line follows from the record.

Apart from `model`, so that a command which only reads does not pay for the classes that it never uses (13 ms).
"""

from __future__ import annotations

# OpenTelemetry's severity numbers (https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber)
SEVERITY_TEXTS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
TRACE, DEBUG, INFO, WARN, ERROR, FATAL = 1, 5, 9, 13, 17, 21  # first number of each range; 0 is unknown

# Values of `events.raw` that are not the original bytes themselves; NULL: the line is the record.
RAW_CARRIAGE_RETURN = 1  # the line is the record and a carriage return
RAW_MESSAGE = 2  # the line is the record's `message`, encoded as UTF-8


def severity_text(number: int) -> str | None:
    """`ERROR` for 17 to 20 and so on; None for 0 and anything outside 1 to 24."""
    return SEVERITY_TEXTS[(number - 1) // 4] if 0 < number <= 4 * len(SEVERITY_TEXTS) else None
