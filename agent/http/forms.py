"""Forms of pages, so that what can be changed can be changed without JavaScript."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from urllib.parse import parse_qsl

from agent.core.errors import HttpError
from agent.core.values import whole_number

_MOST_FIELDS = 1_100  # a thousand groups at once
_LARGEST = 2**62 - 1  # as far as one may count
FIELD = "form_token"


class Form:
    """The fields of a form.

    Args:
        body: as a browser sends it (application/x-www-form-urlencoded).
        form_token: of the session that the form must be of, in a field, which no other page knows; empty: of none.
        path: of the request.

    Raises:
        HttpError: SL904, it is none; SL905, it is another's.
    """

    def __init__(self, body: bytes, form_token: str, path: str) -> None:
        try:
            self._fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise HttpError.of("SL904.form", path) from None
        if form_token and not is_token(self.text(FIELD), form_token):
            raise HttpError.of("SL905.form", path)

    def text(self, name: str) -> str:
        """The text of a field; empty where there is none."""
        return next((text.strip() for key, text in self._fields if key == name), "")

    def texts(self, name: str) -> list[str]:
        """The texts of all fields of a name."""
        return [text.strip() for key, text in self._fields if key == name]

    def number(self, name: str) -> int | None:
        """The number in a field; None where it is empty.

        Raises:
            HttpError: SL904, it is no number.
        """
        text = self.text(name)
        if not text:
            return None
        found = whole_number(text, _LARGEST)
        if found is None:
            raise HttpError.of("SL904.number", text, low=1, high=f"{_LARGEST:,}")
        return found


def masked(token: str) -> str:
    """A session's token as one page has it: another text each time, so that no length of a page tells it."""
    if not token:
        return ""
    key = secrets.token_bytes(len(token))
    return base64.urlsafe_b64encode(key + _mixed(token.encode(), key)).rstrip(b"=").decode()


def is_token(given: str, token: str) -> bool:
    """Whether a text is a session's token, as one of its pages had it."""
    try:
        text = base64.urlsafe_b64decode(given.encode("ascii") + b"==")
    except (UnicodeEncodeError, binascii.Error):
        return False
    half = len(text) // 2
    return hmac.compare_digest(_mixed(text[half:], text[:half]), token.encode())


def _mixed(text: bytes, key: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(text, key, strict=False))
