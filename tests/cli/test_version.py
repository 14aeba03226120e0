"""`sidelog version --check`: asks one address, only when told to, and understands what indexes and releases answer."""

import contextlib
import gzip
import http.server
import itertools
import json
import ssl
import subprocess
import threading
import time

import pytest

from agent import __version__
from agent.cli.version import is_newer
from tests.needs import needs


@pytest.fixture
def place():
    """A server whose answers the test chooses: path -> (status, body)."""
    answers, asked, headers = {}, [], {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            status, body = answers[self.path]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", body)
                body = ""
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # a client that has enough of it goes
                for part in [body.encode()] if isinstance(body, str) else body:
                    self.wfile.write(part)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    answers["headers"] = headers
    yield f"http://127.0.0.1:{server.server_port}", answers, asked
    server.shutdown()
    server.server_close()


def test_it_asks_nobody_unless_it_is_told_to(sidelog, place):
    url, answers, asked = place
    answers["/v"] = (200, '{"version": "99.1"}')
    assert sidelog("version").out == f"sidelog {__version__}\n"
    assert sidelog("version", "--url", f"{url}/v").code == 2
    assert asked == []
    said = sidelog("version", "--check", "--url", f"{url}/v")
    assert (said.code, said.out) == (0, f"sidelog {__version__}\nthere is a newer version: 99.1\n")
    [(_, headers)] = asked
    assert headers["User-Agent"] == f"sidelog/{__version__}"
    assert headers.keys() <= {"Host", "Accept", "Accept-Encoding", "Connection", "User-Agent"}


@pytest.mark.parametrize(
    ("answer", "newest"),
    [
        ({"info": {"version": "2.0"}, "releases": {}}, "2.0"),
        ({"versions": ["0.9", "1.10", "1.9", "2.0rc1"], "files": []}, "1.10"),
        ({"versions": ["0.0.1a1"]}, "0.0.1a1"),
        ({"tag_name": "v1.2.3", "name": "the third"}, "v1.2.3"),
        ({"version": __version__}, __version__),
    ],
)
def test_the_newest_version_is_found_in_what_indexes_and_releases_answer(sidelog, place, answer, newest):
    url, answers, _ = place
    answers["/old"], answers["/v"] = (302, "/v"), (200, json.dumps(answer))
    document = json.loads(sidelog("version", "--check", "--json", "--url", f"{url}/old").out)
    newer = newest not in (__version__, "0.0.1a1")
    assert document == {"version": __version__, "newest": newest, "newer": newer, "url": f"{url}/old"}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, "gone", "HTTP 404"),
        (200, "<html>", "no JSON"),
        (200, "[]", "names no version"),
        (200, '{"version": "\\u001b[31m1"}', "names no version"),
        (200, '{"version": 7, "info": 5, "versions": {}}', "names no version"),
        (302, "/v", "redirects"),
        (302, "file:///etc/passwd", "redirects from http to file"),
        (302, "ftp://127.0.0.1/v", "redirects from http to ftp"),
        (200, f'{{"version": "{"9" * 5000}"}}', "names no version"),
        (200, "[" * 100_000, "no JSON"),
    ],
)
def test_an_answer_that_says_no_version_is_an_error_with_its_reason(sidelog, place, status, body, words):
    url, answers, _ = place
    answers["/v"] = (status, body)
    said = sidelog("version", "--check", "--url", f"{url}/v")
    assert said.code == 1
    assert "error[SL570]" in said.err
    assert words in said.err


def test_an_answer_has_a_bound_in_time_and_size(sidelog, place, monkeypatch):
    """The time is that of the whole answer: each byte of it comes in time. A compressed one is not unfolded."""
    url, answers, _ = place

    def drips():
        while True:
            time.sleep(0.05)
            yield b" "

    monkeypatch.setattr("agent.cli.version._TIMEOUT_S", 0.5)
    answers["/drips"] = (200, drips())
    said = sidelog("version", "--check", "--url", f"{url}/drips")
    assert (said.code, "no answer within 0.5 s" in said.err) == (1, True)
    monkeypatch.setattr("agent.cli.version._TIMEOUT_S", 60.0)
    answers["/endless"] = (200, itertools.repeat(bytes(1 << 16)))
    said = sidelog("version", "--check", "--url", f"{url}/endless")
    assert (said.code, "the answer does not end" in said.err) == (1, True)
    answers["headers"]["Content-Encoding"] = "gzip"
    answers["/packed"] = (200, [gzip.compress(b'{"version": "99"}')])
    said = sidelog("version", "--check", "--url", f"{url}/packed")
    assert (said.code, "the answer is compressed" in said.err) == (1, True)


@needs("openssl")
def test_a_redirection_never_leaves_https(sidelog, place, tmp_path, monkeypatch):
    """Who sits between could answer in the other's stead."""
    url, answers, asked = place
    answers["/v"] = (200, '{"version": "99"}')
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    class Redirecting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", f"{url}/v")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Redirecting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    said = sidelog("version", "--check", "--url", f"https://127.0.0.1:{server.server_port}/v")
    server.shutdown()
    server.server_close()
    assert (said.code, "it redirects from https to http" in said.err) == (1, True)
    assert asked == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v", "ftp://127.0.0.1/v", "nothing", "http://[/"])
def test_offline_is_said_in_a_sentence(sidelog, url):
    said = sidelog("version", "--check", "--url", url)
    assert (said.code, said.out) == (1, "")
    assert "error[SL570]" in said.err
    assert "hint: " in said.err


def test_without_an_address_one_is_asked_for(sidelog):
    said = sidelog("version", "--check")
    assert said.code == 1
    assert "--url" in said.err


@pytest.mark.parametrize(
    ("older", "newer"),
    [("0.9", "0.10"), ("1.0", "1.0.1"), ("1.0rc1", "1.0"), ("1.0.dev3", "1.0"), ("1.0", "1.0.post1"), ("1", "v2")],
)
def test_versions_are_compared_as_versions(older, newer):
    assert is_newer(newer, older)
    assert not is_newer(older, newer)
    assert not is_newer(older, older)


def test_zeros_at_the_end_mean_nothing():
    assert not is_newer("1.0.0", "1")
