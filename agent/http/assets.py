"""The static files of the pages, in memory, at addresses that name their content.

An address is `/static/DIGEST/NAME`, the digest that of all files together, for modules import each other. What a
browser has of it is good for ever, and an upgrade that changes a file changes the addresses of all. A page that was
drawn before an upgrade asks for the old ones: it gets what there is now, and does not keep it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"
_DIGITS = 16


class Assets:
    """All of them.

    Args:
        directory: where they are.
    """

    def __init__(self, directory: Path) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.suffix in _KINDS}
        said = hashlib.sha256()
        for name, content in self._files.items():
            said.update(b"%b %d\n%b" % (name.encode(), len(content), content))
        self._digest = said.hexdigest()[:_DIGITS]

    def address(self, name: str) -> str:
        """Where a page finds one; KeyError where there is none."""
        assert self._files[name]
        return f"/static/{self._digest}/{name}"

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [Route("/static/{digest}/{name}", self._answer), Route("/static/{name}", self._answer)]

    async def _answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        content = self._files.get(name)
        if content is None:
            raise HTTPException(404)
        kept = _FOR_EVER if request.path_params.get("digest") == self._digest else "no-cache"
        return Response(content, headers={"Cache-Control": kept}, media_type=_KINDS["." + name.rpartition(".")[2]])
