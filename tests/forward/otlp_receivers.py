"""Receivers of OTLP logs over HTTP: a plain one that answers as a test says, and a real collector that passes on."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

from tests.fleet.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_PROTOBUF = "application/x-protobuf"
_ROTEL = Path(__file__).parents[2] / "build/tools"


class Answer(NamedTuple):
    """What the receiver says to one request."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", _PROTOBUF),)


def partial(rejected: int, said: str) -> Answer:
    """It took a request but for so many of its records."""
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = rejected
    answer.partial_success.error_message = said
    return Answer(body=answer.SerializeToString())


class Receiver:
    """An OTLP receiver. `requests` are those it took, decoded; `answers` are given in turn, then always 200.

    `decide` may answer instead of them, by what is asked.
    """

    def __init__(self) -> None:
        self.requests: list[ExportLogsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.answers: deque[Answer] = deque()
        self.decide: Callable[[ExportLogsServiceRequest], Answer | None] = lambda _: None
        self._came = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def records(self) -> list:
        """Every record that was taken."""
        with self._came:
            return [record for request in self.requests for record in records_of(request)]

    def wait_for(self, count: int, timeout_s: float = 30.0) -> list:
        """The records, once there are so many.

        Raises:
            TimeoutError: there are not.
        """
        with self._came:
            if not self._came.wait_for(lambda: sum(1 for _ in self._all()) >= count, timeout_s):
                raise TimeoutError(f"{sum(1 for _ in self._all())} of {count} records came")
            return list(self._all())

    def _all(self) -> Iterator:
        return (record for request in self.requests for record in records_of(request))

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportLogsServiceRequest.FromString(body)
        with self._came:
            answer = self.decide(request) or (self.answers.popleft() if self.answers else Answer())
            self.headers.append({**dict(handler.headers), "path": handler.path})
            if answer.status == 200:
                self.requests.append(request)
                self._came.notify_all()
        handler.send_response(answer.status)
        for name, value in answer.headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        with contextlib.suppress(ConnectionError):  # nobody waits for it any more
            handler.end_headers()
            handler.wfile.write(answer.body)


def records_of(request: ExportLogsServiceRequest) -> list:
    """The records of a request, in its order."""
    scopes = (scope for resource in request.resource_logs for scope in resource.scope_logs)
    return [record for scope in scopes for record in scope.log_records]


class Rotel(ServerProcess):
    """A real collector (rotel, in Rust): takes OTLP, decodes it, and passes it on over OTLP to another receiver."""

    def __init__(self, folder: Path, onwards: str) -> None:
        super().__init__(folder, ports=2)
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self._onwards = onwards

    def command(self) -> Sequence[str]:
        program = next(_ROTEL.glob("lib/python*/site-packages/rotel/rotel-agent"))
        return [
            *(str(program), "start", "--otlp-http-endpoint", f"127.0.0.1:{self.ports[0]}"),
            *("--otlp-grpc-endpoint", f"127.0.0.1:{self.ports[1]}", "--otlp-exporter-batch-timeout", "100ms"),
            *("--exporter", "otlp", "--otlp-exporter-protocol", "http"),
            *("--otlp-exporter-endpoint", self._onwards),
        ]

    def answers(self) -> bool:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=2)) as line:
            line.request("POST", "/v1/logs", b"", {"Content-Type": _PROTOBUF})
            return line.getresponse().status == 200
