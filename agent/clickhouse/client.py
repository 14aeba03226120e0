"""Talks to a ClickHouse over HTTP: questions, whose answers come as a stream, and inserts.

An address may have several servers, replicas of one another: what cannot connect to one asks the next, and goes on with
the one that answered. Names and passwords go as headers, for URLs are written into logs.
"""

from __future__ import annotations

import gzip
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from agent.clickhouse import faults
from agent.clickhouse.faults import ClickHouseError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping, Sequence

    import httpx

    from agent.clickhouse.address import ClickHouseAddress

    Settings = Mapping[str, str | int]

TIMEOUT_S = 30.0  # for a server to say something
CONNECT_S = 5.0  # for a connection: another server may be there
_IDLE_S = 2.0  # a connection is kept: old servers close theirs after 3
_TAIL_BYTES = 32_768  # of an answer, in which an error at its end is looked for
_MARK = b"__exception__"  # around an error in an answer that had begun, by current servers

Version = tuple[int, ...]
CURRENT: Version = (23, 8)  # from here on it knows LowCardinality, codecs, tokens for inserts, JSONExtract, zstd
WORDS: Version = (26, 7)  # from here on it has a text index that finds parts of words


def literal(text: str) -> str:
    r"""A text as SQL has it. Only `\` and `'` mean something in there; half of a surrogate pair goes as the bytes that
    it would have.
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class ClickHouseClient:
    """One connection's worth of talk with a ClickHouse; used from one thread.

    Args:
        address: which.
        timeout_s: how long to wait for a server that says nothing.
    """

    def __init__(self, address: ClickHouseAddress, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._urls = list(address.urls)  # the one that answered last comes first
        self._client: httpx.Client | None = None
        self._versions: dict[str, Version] = {}

    # ------------------------------------------------------------ what can be asked

    @property
    def url(self) -> str:
        """The server that is asked first."""
        return self._urls[0]

    @property
    def version(self) -> Version:
        """Of the server that is asked first, such as (26, 7, 2); asked once of each.

        Raises:
            ClickHouseError: it cannot be asked.
        """
        known = self._versions.get(self.url)
        if known is None:
            text = self.execute("SELECT version()", plain=True).decode().strip()
            known = tuple(int(part) for part in text.split(".")[:3] if part.isdigit())
            self._versions[self.url] = known
        return known

    @property
    def is_current(self) -> bool:
        """Whether it is no server of the old line: `CURRENT`."""
        return self.version >= CURRENT

    def execute(self, sql: str, settings: Settings | None = None, *, plain: bool = False) -> bytes:
        """What it answers to a statement, all of it: for small answers and for none.

        Args:
            sql: the statement.
            settings: of this statement.
            plain: send no settings at all.

        Raises:
            ClickHouseError: it cannot be reached, or says an error.
        """
        more = {} if plain else {"wait_end_of_query": 1, **(settings or {})}
        with self._asked(_bytes(sql), _parameters(more)) as response:
            return b"".join(self._pieces(response))

    def query(self, sql: str, settings: Settings | None = None, query_id: str = "") -> Iterator[bytes]:
        """What it answers to a question, in pieces as they come. To close the generator ends the question there.

        Args:
            sql: the question, with its FORMAT.
            settings: of this question.
            query_id: by which `kill` knows it; one is made where it is empty.

        Raises:
            ClickHouseError: it cannot be reached, or says an error; this too where the answer had begun. An old server
                says it in the answer itself, in which it cannot be told for certain: who reads blocks finds it there.
        """
        named = query_id or uuid.uuid4().hex
        done = False
        try:
            with self._asked(_bytes(sql), {**_parameters(settings or {}), "query_id": named}) as response:
                yield from self._pieces(response)
                done = True
        except ClickHouseError:
            done = True
            raise
        finally:
            if not done:
                with suppress(ClickHouseError):
                    self.kill(named)

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        body: bytes,
        *,
        token: str = "",
        form: str = "Native",
        settings: Settings | None = None,
    ) -> None:
        """Insert rows, all or none of them; again with the same token and body without harm.

        Args:
            table: its name in the database of the address.
            columns: which are given.
            body: the rows.
            token: names these rows, for servers that know such tokens. Old ones compare the rows themselves.
            form: of the body, in ClickHouse's words.
            settings: further ones.

        Raises:
            ClickHouseError: it cannot be reached, or says an error.
        """
        names = ", ".join(f"`{name}`" for name in columns)
        sql = f"INSERT INTO {self.address.table(table)} ({names}) FORMAT {form}"
        more: dict[str, str | int] = {"insert_distributed_sync": 1, "input_format_skip_unknown_fields": 0}
        if self.is_current:
            # Left to itself a current server gathers small inserts, and takes no token then.
            more |= {"async_insert": 0, "insert_deduplication_token": token} if token else {"async_insert": 0}
        packed, encoding = self._packed(body)
        parameters = {"query": sql, **_parameters(more | dict(settings or {}))}
        with self._asked(packed, parameters, {"Content-Encoding": encoding}, writing=True) as response:
            b"".join(self._pieces(response))

    def kill(self, query_id: str) -> None:
        """Let a question end that nobody waits for any more.

        Raises:
            ClickHouseError: it cannot be asked.
        """
        self.execute(f"KILL QUERY WHERE query_id = '{query_id}' ASYNC")

    def close(self) -> None:
        """Give back the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    # ------------------------------------------------------------ how

    @contextmanager
    def _asked(
        self,
        body: bytes,
        parameters: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        *,
        writing: bool = False,
    ) -> Iterator[httpx.Response]:
        """The answer of the first server that gives one, its body unread."""
        response = self._answer(body, parameters, headers or {}, writing=writing)
        try:
            yield response
        finally:
            response.close()

    def _answer(
        self, body: bytes, parameters: Mapping[str, str], headers: Mapping[str, str], *, writing: bool
    ) -> httpx.Response:
        refused: ClickHouseError | None = None
        for url in tuple(self._urls):
            try:
                response = self._post(url, body, parameters, headers, writing=writing)
            except ClickHouseError as error:
                if not error.elsewhere:
                    raise
                if refused is None or refused.code == "SL650":  # what a server says tells more than that none is there
                    refused = error
            else:
                self._urls.remove(url)
                self._urls.insert(0, url)
                return response
        assert refused is not None
        # Whoever was asked first may hang: the next question begins with another.
        self._urls.append(self._urls.pop(0))
        raise refused

    def _post(
        self, url: str, body: bytes, parameters: Mapping[str, str], headers: Mapping[str, str], *, writing: bool
    ) -> httpx.Response:
        import httpx  # noqa: PLC0415 - 70 ms that only those with a ClickHouse pay

        client = self._connections()
        request = client.build_request("POST", f"{url}/", params=parameters, content=body, headers=headers)
        try:
            try:
                response = client.send(request, stream=True)
            except httpx.RemoteProtocolError:  # a connection that was kept, and that the server has just closed
                response = client.send(request, stream=True)
            if response.status_code == httpx.codes.OK:
                return response
            try:
                said = response.read()
            finally:
                response.close()
        except (httpx.TransportError, httpx.InvalidURL, OSError) as error:
            raise faults.unreachable(self.address, url, error) from None
        raise faults.said(self.address, said, status=response.status_code, writing=writing)

    def _connections(self) -> httpx.Client:
        if self._client is None:
            import httpx  # noqa: PLC0415 - as above

            from agent import __version__  # noqa: PLC0415 - with it

            address = self.address
            headers = {"User-Agent": f"sidelog/{__version__}"}
            if address.user is not None:
                headers["X-ClickHouse-User"] = address.user
            if address.password is not None:
                headers["X-ClickHouse-Key"] = address.password
            self._client = httpx.Client(
                headers=headers,
                timeout=httpx.Timeout(self.timeout_s, connect=min(CONNECT_S, self.timeout_s)),
                limits=httpx.Limits(keepalive_expiry=_IDLE_S),
                verify=self._trusted(),
            )
        return self._client

    def _trusted(self) -> ssl.SSLContext | bool:
        """The certificates that are trusted; reading them takes 20 ms, which only an https address costs."""
        if not any(url.startswith("https:") for url in self.address.urls):
            return False
        import ssl  # noqa: PLC0415 - as it says

        try:
            return ssl.create_default_context(cafile=self.address.ca)
        except OSError as error:
            raise ClickHouseError.of("SL650.ca", str(self.address.ca), why=error) from None

    def _packed(self, body: bytes) -> tuple[bytes, str]:
        if self.is_current:
            import zstandard  # noqa: PLC0415 - only who sends pays for it

            return zstandard.ZstdCompressor(level=1).compress(body), "zstd"
        return gzip.compress(body, 1, mtime=0), "gzip"

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """The body, without the error that it may end with, which is raised."""
        import httpx  # noqa: PLC0415 - loaded already

        tag = response.headers.get("X-ClickHouse-Exception-Tag", "").encode()
        mark = b"%s\r\n%s\r\n" % (_MARK, tag)
        held, pieces = b"", response.iter_bytes()
        try:
            for piece in pieces:
                if not tag:
                    yield piece
                    continue
                data = held + piece
                if (at := data.find(mark)) >= 0:
                    if at > 2:  # noqa: PLR2004 - a line's end stands before it
                        yield data[: at - 2]
                    raise self._late(pieces, data[at + len(mark) :])
                safe = max(len(data) - len(mark) - 2, 0)
                held = data[safe:]
                if safe:
                    yield data[:safe]
        except httpx.TransportError as error:
            raise faults.incomplete(self.address, error) from None
        if held:
            yield held

    def _late(self, pieces: Iterator[bytes], said: bytes) -> ClickHouseError:
        """The error that an answer ends with; `said` is its beginning."""
        import httpx  # noqa: PLC0415 - loaded already

        with suppress(httpx.HTTPError):
            for piece in pieces:
                said += piece
                if len(said) > _TAIL_BYTES:
                    break
        return faults.said(self.address, said.partition(b"\r\n")[0])


def _bytes(sql: str) -> bytes:
    return sql.encode("utf-8", "surrogatepass")


def _parameters(settings: Settings) -> dict[str, str]:
    return {name: str(value) for name, value in settings.items()}
