"""`sidelog version`: this program's version, and, only when asked, whether there is a newer one."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

import click

from agent import __version__
from agent.cli.common import Command, Context, echo_json, json_option, safe_text, with_context
from agent.core.errors import EXIT_DONE, SidelogError

_TIMEOUT_S = 15.0  # for all of it, however slowly it comes
_MOST_ANSWER_BYTES = 8 << 20  # an index lists every file of every version
_MOST_REDIRECTIONS = 3
_MOST_WORDS = 300  # of a reason that the other side may have written
_MOST_VERSION = 100  # characters of a version; Python refuses to read numbers of more than 4,300 digits
_LABEL = "Updates"  # of the package's project URLs, where who publishes it names the place
_FORM = re.compile(
    r"v?(\d+(?:\.\d+)*)(?:[-_.]?(post|rev|r)[-_.]?\d*)?([-_.]?(?:a|b|c|rc|alpha|beta|pre|dev)[-_.]?\d*)?"
)


@click.command(cls=Command)
@click.option("--check", is_flag=True, help="Ask an address whether there is a newer version.")
@click.option("--url", metavar="URL", help="The address to ask, instead of the one that the package names.")
@json_option()
@with_context
def command(context: Context, *, check: bool, url: str | None, as_json: bool) -> int:
    """Print the version. With `--check` also the newest one that there is.

    sidelog asks nobody by itself. The address answers with JSON: a package index's (`info.version`, or `versions` of
    the simple index), a release's (`tag_name`), or just `{"version": "1.2.3"}`.
    """
    if url is not None and not check:
        raise click.UsageError("--url goes with --check")
    document: dict[str, Any] = {"version": __version__}
    if check:
        address = url or _known_address()
        newest = newest_version(_get(address), address)
        document |= {"newest": newest, "newer": is_newer(newest, __version__), "url": address}
    if as_json:
        echo_json(document)
        return EXIT_DONE
    click.echo(f"sidelog {__version__}")
    if check and document["newer"]:
        click.echo(f"there is a newer version: {safe_text(document['newest'])}")
    elif check and context.verbosity >= 0:
        click.echo(f"it is the newest; {safe_text(document['url'])} has {safe_text(document['newest'])}", err=True)
    return EXIT_DONE


def newest_version(document: Any, address: str) -> str:
    """The newest version that an answer names. Versions before a release count where there are no others.

    Args:
        document: decoded JSON.
        address: that it came from.

    Raises:
        SidelogError: SL570, it names none.
    """
    said: list[Any] = []
    if isinstance(document, dict):
        info, several = document.get("info"), document.get("versions")
        said = [
            document.get("version"),
            document.get("tag_name"),
            info.get("version") if isinstance(info, dict) else None,
        ]
        said += several if isinstance(several, list) else []
    versions = [word for word in said if isinstance(word, str) and _is_version(word)]
    if not versions:
        raise SidelogError.of("SL570.answer", address, why="it names no version")
    released = [word for word in versions if _order(word)[1] >= 0]
    return max(released or versions, key=_order)


def is_newer(version: str, than: str) -> bool:
    """Whether one version comes after another."""
    return _order(version) > _order(than)


def _is_version(word: str) -> bool:
    return len(word) <= _MOST_VERSION and _FORM.fullmatch(word) is not None


def _order(version: str) -> tuple[list[int], int]:
    """What versions are compared by: numbers without zeros at their end; -1 before the release, 1 behind it."""
    found = _FORM.fullmatch(version)
    assert found is not None
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers, -1 if found[3] else 1 if found[2] else 0


def _known_address() -> str:
    """The address that the installed package names.

    Raises:
        SidelogError: SL570, it names none.
    """
    try:
        places = metadata.metadata("sidelog").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # run from a tree
        places = []
    for place in places:
        label, _, address = str(place).partition(", ")
        if label == _LABEL:
            return address
    raise SidelogError.of("SL570.address", "--check")


def _get(address: str) -> Any:
    """The JSON that an address answers with.

    Raises:
        SidelogError: SL570, it cannot be asked, or answers with something else.
    """
    import asyncio

    import httpx
    import orjson

    try:
        said = asyncio.run(_fetch(address))
    except TimeoutError:
        raise SidelogError.of("SL570", address, why=f"no answer within {_TIMEOUT_S:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        cause = error.__cause__ or error
        raise SidelogError.of("SL570", address, why=str(cause)[:_MOST_WORDS] or type(error).__name__) from None
    try:
        return orjson.loads(said)
    except orjson.JSONDecodeError:
        raise SidelogError.of("SL570.answer", address, why="the answer is no JSON") from None


async def _fetch(address: str) -> bytes:
    """What an address answers with, within bounds: one time for all of it, and so many bytes as they come. An answer
    that is compressed is not taken, for what it unfolds to has no bound.

    Raises:
        httpx.HTTPError: it cannot be asked. TimeoutError: it takes too long.
        SidelogError: SL570, it refuses, or its answer passes a bound.
    """
    import asyncio

    import httpx

    first = httpx.URL(address).scheme

    async def keep_scheme(request: httpx.Request) -> None:
        if request.url.scheme not in (first, "https"):
            raise SidelogError.of("SL570.answer", address, why=f"it redirects from {first} to {request.url.scheme}")

    headers = {
        "Accept": "application/json, application/vnd.pypi.simple.v1+json",
        "Accept-Encoding": "identity",
        "User-Agent": f"sidelog/{__version__}",
    }
    client = httpx.AsyncClient(
        timeout=_TIMEOUT_S,
        follow_redirects=True,
        max_redirects=_MOST_REDIRECTIONS,
        event_hooks={"request": [keep_scheme]},
    )
    kept = bytearray()
    async with asyncio.timeout(_TIMEOUT_S), client, client.stream("GET", address, headers=headers) as answer:
        if not answer.is_success:
            raise SidelogError.of("SL570.answer", address, why=f"HTTP {answer.status_code}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise SidelogError.of("SL570.answer", address, why="the answer is compressed")
        async for part in answer.aiter_raw():
            kept += part
            if len(kept) > _MOST_ANSWER_BYTES:
                raise SidelogError.of("SL570.answer", address, why="the answer does not end")
    return bytes(kept)
