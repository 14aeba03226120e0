"""Who may ask over HTTP, as a store keeps it: keys, tokens, and what was done by whom.

Two keys sign links and sessions. The operator's lies in a file beside the store that its owner alone may read; the
reader's, which is derived from it, in the store: so whoever may read the store may have a reader's link, and nobody who
may only read can make himself an operator.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING, Literal

import msgspec

from agent.core.errors import StoreError
from agent.core.text import follow_owner
from agent.store.lock import status_of_owner
from agent.store.reader import get_meta
from agent.store.tables import set_meta

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

Role = Literal["reader", "operator"]
ROLES: tuple[Role, ...] = ("reader", "operator")
TOKEN_PREFIX = "sl_"  # noqa: S105 - by which scanners for secrets, and people, know one
KEY_SUFFIX = ".key"
_KEY_BYTES = 32
_META = "http"
_KEPT_DAYS = 400
_DAY_NS = 86_400 * 10**9


class AccessToken(msgspec.Struct, frozen=True):
    """What is kept of a token. Instants are Unix ns; `expires` None: never."""

    name: str
    role: Role
    created: int
    expires: int | None


class SigningKeys(msgspec.Struct, frozen=True):
    """What signs; `operator` None: who asks may only read."""

    reader: bytes
    operator: bytes | None = None

    def of(self, role: Role) -> bytes | None:
        """The key of a role."""
        return self.operator if role == "operator" else self.reader


# ---------------------------------------------------------------- keys


def key_path(store: Path) -> Path:
    """The file of a store's operator key."""
    return store.with_name(store.name + KEY_SUFFIX)


def read_keys(connection: sqlite3.Connection, store: Path) -> SigningKeys | None:
    """The keys, as far as they may be read; None where there are none yet.

    Args:
        connection: read-only is enough.
        store: its path.
    """
    known = get_meta(connection, _META).get("key")
    try:
        operator = key_path(store).read_bytes()
    except OSError:
        operator = b""
    if not isinstance(known, str):
        return None
    reader = bytes.fromhex(known)
    whole = len(operator) == _KEY_BYTES and hmac.compare_digest(_derived(operator), reader)
    return SigningKeys(reader, operator if whole else None)


def make_keys(connection: sqlite3.Connection, store: Path, *, anew: bool = False) -> SigningKeys:
    """The keys, made where there are none; `anew`: others, which ends every session and link.

    Args:
        connection: inside a transaction.
        store: its path.
        anew: in any case.

    Raises:
        StoreError: SL412, the file cannot be written.
    """
    known = None if anew else read_keys(connection, store)
    if known is not None and known.operator is not None:
        return known
    operator = secrets.token_bytes(_KEY_BYTES)
    try:
        _write_key(key_path(store), operator, store)
    except OSError as error:
        raise StoreError.of("SL412", key_path(store), why=error) from None
    set_meta(connection, _META, {"key": _derived(operator).hex()})
    return SigningKeys(_derived(operator), operator)


def _derived(operator: bytes) -> bytes:
    return hmac.digest(operator, b"reader", "sha256")


def _write_key(path: Path, key: bytes, store: Path) -> None:
    part = path.with_name(path.name + ".part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        follow_owner(descriptor, status_of_owner(store))
        file.write(key)
        file.flush()
        os.fsync(descriptor)
    part.rename(path)


# ---------------------------------------------------------------- tokens


def create_token(connection: sqlite3.Connection, name: str, role: Role, now: int, expires: int | None) -> str | None:
    """A new token, which is told this once; None where the name is taken.

    Args:
        connection: inside a transaction.
        name: of the token, for people.
        role: what it may.
        now: Unix ns.
        expires: Unix ns; None: never.
    """
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = (name, _hash(token), role, now, expires)
    made = connection.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING", row)
    return token if made.rowcount else None


def list_tokens(connection: sqlite3.Connection) -> list[AccessToken]:
    """What is kept of all tokens, by name."""
    rows = connection.execute("SELECT name, role, created, expires FROM tokens ORDER BY name")
    return [AccessToken(*row) for row in rows]


def revoke_token(connection: sqlite3.Connection, name: str) -> bool:
    """Let a token open nothing any more; whether there was one."""
    return connection.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount > 0


def find_token(connection: sqlite3.Connection, token: str, now: int) -> AccessToken | None:
    """What is kept of a token that somebody has shown; None where it opens nothing (any more)."""
    row = connection.execute(
        "SELECT name, role, created, expires FROM tokens WHERE hash = ? AND (expires IS NULL OR expires > ?)",
        (_hash(token), now),
    ).fetchone()
    return None if row is None else AccessToken(*row)


def _hash(token: str) -> bytes:
    """Of 256 bits by chance: a slow hash, as passwords need one, would serve nobody."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


# ---------------------------------------------------------------- links and the log


def use_link(connection: sqlite3.Connection, link: str, now: int, expires: int) -> bool:
    """Note that a link was opened; whether this is the first time. Inside a transaction."""
    connection.execute("DELETE FROM links WHERE expires < ?", (now,))
    return connection.execute("INSERT INTO links VALUES (?, ?) ON CONFLICT DO NOTHING", (link, expires)).rowcount > 0


def note(  # noqa: PLR0917 - a row of the log
    connection: sqlite3.Connection, now: int, who: str, action: str, subject: str, detail: str = ""
) -> None:
    """Keep in the log what was done by whom. Inside the transaction of what was done.

    Args:
        connection: of that transaction.
        now: Unix ns.
        who: `token NAME`, `session of …`, or a user of this machine.
        action: such as `resolve`.
        subject: on what.
        detail: what else is to be known.
    """
    connection.execute("DELETE FROM audit_log WHERE time < ?", (now - _KEPT_DAYS * _DAY_NS,))
    connection.execute(
        'INSERT INTO audit_log (time, who, "action", subject, detail) VALUES (?, ?, ?, ?, ?)',
        (now, who, action, subject, detail),
    )


class Entry(msgspec.Struct, frozen=True):
    """One line of the log: when (Unix ns), by whom, what, on what, and more."""

    time: int
    who: str
    action: str
    subject: str
    detail: str


def entries(connection: sqlite3.Connection, limit: int, *, subject: str | None = None) -> list[Entry]:
    """The newest lines of the log, the newest first; with a subject those alone that are about it."""
    rows = connection.execute(
        'SELECT time, who, "action", subject, detail FROM audit_log WHERE ?1 IS NULL OR subject = ?1'
        " ORDER BY id DESC LIMIT ?2",
        (subject, limit),
    )
    return [Entry(*row) for row in rows]
