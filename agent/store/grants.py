"""Links and sessions: what they say, signed (HMAC-SHA-256) with the key of their role.

A link is `ROLE.ID.EXPIRES.SIGNATURE`, good for a minute and once; the cookie of a session has the same form, good for
twelve hours. `store.access` says who has which key. To make other keys ends all of them.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import TYPE_CHECKING, NamedTuple

from agent.store.access import ROLES, Role, SigningKeys

if TYPE_CHECKING:
    from collections.abc import Sequence

LINK_S, SESSION_S = 60, 12 * 3_600
_ID_BYTES = 16
_LONGEST = 200  # characters of what can be one


class Grant(NamedTuple):
    """What a link or a session says. `expires` is in Unix seconds."""

    role: Role
    id: str
    expires: int


def sign(keys: SigningKeys, purpose: str, role: Role, now_s: int, lasts_s: int) -> str | None:
    """A new link or session; None where the key of its role may not be read.

    Args:
        keys: of the store.
        purpose: `link` or `session`, which are not to be taken for each other.
        role: what it may.
        now_s: Unix seconds.
        lasts_s: how long it is good.
    """
    key = keys.of(role)
    if key is None:
        return None
    said = f"{role}.{secrets.token_urlsafe(_ID_BYTES)}.{now_s + lasts_s}"
    return f"{said}.{_signature(key, purpose, said)}"


def verify(keys: SigningKeys, purpose: str, text: str, now_s: int) -> Grant | None:
    """What a link or a session says; None where it is none of ours, or over."""
    said, _, signature = text.rpartition(".")
    parts: Sequence[str] = said.split(".")
    if len(text) > _LONGEST or len(parts) != 3 or not (text.isascii() and parts[2].isdigit()):  # noqa: PLR2004
        return None
    role = next((one for one in ROLES if one == parts[0]), None)
    key = None if role is None else keys.of(role)
    if role is None or key is None or not hmac.compare_digest(_signature(key, purpose, said), signature):
        return None
    grant = Grant(role, parts[1], int(parts[2]))
    return grant if grant.expires > now_s else None


def form_token(keys: SigningKeys, grant: Grant) -> str:
    """What the forms of a session carry, which no other origin can know (CSRF)."""
    return _signature(keys.reader, "form", grant.id)


def _signature(key: bytes, purpose: str, said: str) -> str:
    digest = hmac.digest(key, f"{purpose}:{said}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
