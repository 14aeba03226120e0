"""Exports events to an OTLP receiver over HTTP: protobuf, gzip, POST to URL/v1/logs.

At least once: OTLP has no key by which a receiver could know an event again, and most receivers answer before they have
stored. `log.record.uid` is the same each time an event is sent, for receivers that look for it.

The specification's rules for who sends (https://opentelemetry.io/docs/specs/otlp/#otlphttp): 429, 502, 503 and 504 are
tried again, after the time that `Retry-After` names; what a partial success rejects is not sent again. One thing is
done otherwise: it would have a sender drop what is refused with any other status. Here a wrong token or address holds
the events in the store, as with any other target. Only a request that is bad (400) or too large (413) is sent in halves
until the events are found that the receiver does not take, whatever they come with; these are passed over, and counted.
"""

from __future__ import annotations

import gzip
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import SidelogError
from agent.forward.otlprequest import encode

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    import httpx
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess

    from agent.config import ForwardConfig
    from agent.core.stored import StoredEvent

PATH = "/v1/logs"
TIMEOUT_S = 30.0
_CONNECT_S = 5.0
_LONGEST_WAIT_S = 300.0  # that a receiver may ask for; beyond it is asked again
_SAID_CHARS = 300  # of what a receiver says
_DOUBTFUL = 8  # single events refused before anything was taken: it is the receiver, not these events
_BAD = frozenset((400, 413))
_WAIT = frozenset((429, 502, 503, 504))


class OtlpError(SidelogError):
    """A receiver did not take what it was sent; nothing of it was passed over. `wait_s` is how long it asks to be left
    alone, None where it does not say.
    """

    wait_s: float | None = None


class Exported(msgspec.Struct):
    """What became of a batch that was taken."""

    accepted: int = 0
    rejected: int = 0
    said: str = ""  # by the receiver, of those it rejected; or a warning


def check_library() -> None:
    """Say that the extra is missing, before anything is sent.

    Raises:
        SidelogError: SL662.extra.
    """
    import importlib.util  # noqa: PLC0415 - only who exports pays for it

    try:
        found = importlib.util.find_spec("opentelemetry.proto.collector.logs")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise SidelogError.of("SL662.extra", "opentelemetry-proto")


def endpoint(url: str) -> str:
    """Where logs are sent to, of the address in the configuration."""
    base = url.rstrip("/")
    return base if base.endswith(PATH) else base + PATH


class OtlpExporter:
    """Sends batches to one target; used from one thread.

    Args:
        target: with `otlp`.
        agent: the agent's id.
        timeout_s: how long to wait for a receiver that says nothing.

    Raises:
        SidelogError: SL662.extra, the library is not installed.
    """

    def __init__(self, target: ForwardConfig, agent: str, timeout_s: float = TIMEOUT_S) -> None:
        assert target.otlp is not None
        check_library()
        self.url = endpoint(target.otlp)
        self.agent = agent
        self._target, self._timeout_s = target, timeout_s
        self._client: httpx.Client | None = None
        self._was_taken = False  # it has taken something: then it is events that it refuses, not everything

    def send(self, events: Sequence[StoredEvent]) -> Exported:
        """Send events, in several requests where the receiver wants fewer at once.

        Returns:
            How many it took and rejected, together all of them.

        Raises:
            OtlpError: it did not take them; some may have been taken, and will be again.
            ConfigError: SL110, a header's value cannot be had.
        """
        done = Exported()
        doubtful: list[OtlpError] = []
        waiting = [events] if events else []
        while waiting:
            part = waiting.pop()
            try:
                self._send(part, done)
            except _BadRequestError as refused:
                if len(part) > 1:
                    middle = len(part) // 2
                    waiting += (part[middle:], part[:middle])
                    continue
                doubtful.append(refused)
                if not self._was_taken and len(doubtful) == _DOUBTFUL:
                    raise
        if doubtful:
            if not self._was_taken:
                raise doubtful[-1]
            done.rejected += len(doubtful)
            done.said = done.said or str(doubtful[-1])
        return done

    def close(self) -> None:
        """Give back the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _send(self, events: Sequence[StoredEvent], done: Exported) -> None:
        import httpx  # noqa: PLC0415 - 70 ms that only those with a target pay

        body = gzip.compress(encode(events, self.agent), 1, mtime=0)
        headers = {name: value.resolve_header() for name, value in self._target.headers.items()}
        headers |= {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        client = self._connections()
        try:
            try:
                response = client.post(self.url, content=body, headers=headers)
            except httpx.RemoteProtocolError:  # a connection that was kept, and that the receiver has just closed
                response = client.post(self.url, content=body, headers=headers)
        except (httpx.TransportError, httpx.InvalidURL, OSError) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise OtlpError.of("SL662.unreachable", self.url, why=why) from None
        if response.status_code != httpx.codes.OK:
            raise self._refused(response)
        partial = self._partial(response)
        rejected = min(max(partial.rejected_log_records, 0), len(events))
        done.accepted += len(events) - rejected
        done.rejected += rejected
        done.said = done.said or _short(partial.error_message)
        self._was_taken = self._was_taken or rejected < len(events)

    def _partial(self, response: httpx.Response) -> ExportLogsPartialSuccess:
        from google.protobuf.message import DecodeError  # noqa: PLC0415 - of the extra
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse  # noqa: PLC0415

        kind = response.headers.get("Content-Type", "application/x-protobuf").partition(";")[0].strip()
        if response.content and kind == "application/json":  # against the specification, and so are some receivers
            return _from_json(response.content)
        answer = ExportLogsServiceResponse()
        try:
            answer.ParseFromString(response.content)
        except DecodeError:
            said = _short(response.text) or "nothing"
            raise OtlpError.of("SL662.answer", self.url, said=said) from None
        return answer.partial_success

    def _refused(self, response: httpx.Response) -> OtlpError:
        status = response.status_code
        key = {401: "SL662.user", 403: "SL662.user", 404: "SL662.path", 405: "SL662.path"}.get(status, "SL662")
        kind = _BadRequestError if status in _BAD else OtlpError
        error = kind.of("SL662.busy" if status in _WAIT else key, self.url, status=status, said=_status(response))
        if status in _WAIT:
            error.wait_s = _wait(response.headers.get("Retry-After", ""))
        return error

    def _connections(self) -> httpx.Client:
        if self._client is None:
            import httpx  # noqa: PLC0415 - as above

            from agent import __version__  # noqa: PLC0415 - with it

            self._client = httpx.Client(
                headers={"User-Agent": f"sidelog/{__version__}"},
                timeout=httpx.Timeout(self._timeout_s, connect=min(_CONNECT_S, self._timeout_s)),
                verify=self._trusted(),
            )
        return self._client

    def _trusted(self) -> ssl.SSLContext | bool:
        """The certificates that are trusted; reading them takes 20 ms, which only an https address costs."""
        if not self.url.startswith("https:"):
            return False
        import ssl  # noqa: PLC0415 - as it says

        try:
            return ssl.create_default_context(cafile=self._target.ca)
        except OSError as error:
            raise OtlpError.of("SL662.ca", str(self._target.ca), why=error) from None


class _BadRequestError(OtlpError):
    """It refuses this request, however often it is sent."""


def _from_json(body: bytes) -> ExportLogsPartialSuccess:
    from google.protobuf import json_format  # noqa: PLC0415 - of the extra
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse  # noqa: PLC0415

    answer = ExportLogsServiceResponse()
    try:
        json_format.Parse(body, answer, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError):  # some answer {"status": "ok"}, or less
        return ExportLogsServiceResponse().partial_success
    return answer.partial_success


def _status(response: httpx.Response) -> str:
    """What an answer that is an error says: a google.rpc.Status, or whatever a proxy has written."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - of the extra
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess  # noqa: PLC0415

    said = ""
    if response.headers.get("Content-Type", "").startswith("application/x-protobuf"):
        try:  # a number and a text: the fields of google.rpc.Status, of which only another library knows
            said = ExportLogsPartialSuccess.FromString(response.content).error_message
        except DecodeError:
            said = ""
    return _short(said or response.text) or response.reason_phrase or "nothing"


def _short(text: str) -> str:
    shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return shown if len(shown) <= _SAID_CHARS else shown[: _SAID_CHARS - 1] + "…"


def _wait(header: str) -> float | None:
    """The seconds of a `Retry-After`: a number, or an instant."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_WAIT_S)
    try:
        left = parsedate_to_datetime(text).timestamp() - time()
    except (ValueError, TypeError):
        return None
    return min(max(left, 0.0), _LONGEST_WAIT_S)
