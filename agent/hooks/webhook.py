"""Telling a webhook: one POST with the document as its body."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent import __version__
from agent.hooks.program import OUTPUT_BYTES, HookResult

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUCCESS = range(200, 300)


async def post(url: str, headers: Mapping[str, str], document: bytes, timeout_s: float) -> HookResult:
    """POST a document. Delivered is what is answered with 2xx; redirections are not followed, since the headers may
    hold a token that is meant for this address alone.
    """
    import httpx  # noqa: PLC0415  70 ms and 12 MB that only those with a webhook should pay

    sent = {"Content-Type": "application/json", "User-Agent": f"sidelog/{__version__}", **headers}
    kept = bytearray()
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx.AsyncClient(timeout=timeout_s, follow_redirects=False) as client,
            client.stream("POST", url, content=document, headers=sent) as answer,
        ):
            async for part in answer.aiter_bytes():
                kept += part[: OUTPUT_BYTES - len(kept)]
                if len(kept) >= OUTPUT_BYTES:
                    break
            said = f"HTTP {answer.status_code}"
            output = kept.decode("utf-8", "backslashreplace").replace("\0", "\\0")
            return HookResult(ok=answer.status_code in _SUCCESS, said=said, output=output)
    except (TimeoutError, httpx.TimeoutException):
        return HookResult(ok=False, said=f"timeout after {timeout_s:g}s")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        # The URL is a secret: name the kind of error and what the system said, not the request.
        cause = error.__cause__ or error
        said = type(error).__name__ if url in str(cause) else f"{type(error).__name__}: {cause}"
        never = httpx.UnsupportedProtocol, httpx.LocalProtocolError  # of this address, with these headers
        may_pass = isinstance(error, httpx.HTTPError) and not isinstance(error, never)
        return HookResult(ok=False, said=said[:500], retryable=may_pass)
