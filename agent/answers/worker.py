"""Processes that answer one question at a time, so that any of them can be ended at once, whatever it is doing.

A question may scan for seconds inside SQLite, a regular expression or an archive: a thread of the server would hold its
interpreter, and could not be ended when its client goes. The server forks one process before it has threads, the
nursery, which has imported what answers need and forks a worker when it is given one end of a pair of sockets: 3 ms and
a few megabytes of its own, where a new interpreter takes 200 ms and 40 MB.

On a worker's socket goes one request after the other: four bytes of length (big endian) and JSON, a `QuestionRequest`
or a `ChangeRequest`. The answer is frames of a letter, four bytes of length and that many bytes: `p` the worker's
process id, once, `d` data, `e` an error that ends the answer (`code`, `message`, `hint`), `.` its end.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import time
import traceback
from typing import TYPE_CHECKING

import msgspec

from agent.answers.changes import CHANGES
from agent.answers.questions import Note, answer
from agent.answers.tailing import DATA, END, ERROR, HEAD, PID, follow, read_message
from agent.core.errors import SidelogError
from agent.core.process import die_with_owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.answers.place import Place


class QuestionRequest(msgspec.Struct, tag=True, frozen=True):
    """What is asked: its name in `questions`, and the texts of its parameters. With `noted`, what of an answer could
    not be read comes before it, as one part that begins with NOTE.
    """

    name: str
    texts: dict[str, list[str]] = {}
    noted: bool = False


class ChangeRequest(msgspec.Struct, tag=True, frozen=True):
    """What is to be changed: its name in `changes`, by whom, how, and of what."""

    name: str
    who: str
    body: str = ""
    subject: str = ""


class TailRequest(msgspec.Struct, tag=True, frozen=True):
    """The worker is to follow the store from now on, for all who watch it (`tailing`)."""


_FRAME_BYTES = 65_536  # the server holds no more than a frame or two of an answer that nobody reads
NOTE = b"\0"
_COMMAND = b"w"
_NICEST = 19  # four scans of two cores take from ingest what they would leave idle, and little more
_DECODER = msgspec.json.Decoder(QuestionRequest | ChangeRequest | TailRequest)
UNEXPECTED = "something unexpected happened; the server's journal has more of it"


def fork_nursery(place: Place) -> socket.socket:
    """Fork the process that forks workers. Call it before there is a thread or an event loop.

    Args:
        place: what workers are asked of; each question has its own instant.

    Returns:
        The socket to which `ask_for_worker` writes; the nursery and its workers end when it is closed.
    """
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    if os.fork():
        theirs.close()
        return ours
    ours.close()
    die_with_owner(parent)
    try:
        _nurse(theirs, place)
    finally:
        os._exit(0)


def ask_for_worker(nursery: socket.socket) -> socket.socket:
    """A socket to a new worker.

    Raises:
        OSError: the nursery is gone.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            socket.send_fds(nursery, [_COMMAND], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
    return ours


def _nurse(control: socket.socket, place: Place) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends them
    nurse = os.getpid()
    gc.freeze()  # what is imported stays shared with the workers: a collection there would write into every object
    while True:
        command, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not command:
            return
        for descriptor in descriptors:
            if not os.fork():
                die_with_owner(nurse)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # those of its own are waited for
                control.close()
                with contextlib.suppress(OSError), socket.socket(fileno=descriptor) as channel:
                    _work(channel, place)
                os._exit(0)
            os.close(descriptor)


def _work(channel: socket.socket, place: Place) -> None:
    def send(kind: bytes, data: bytes) -> None:
        channel.sendall(HEAD.pack(kind, len(data)) + data)

    send(PID, str(os.getpid()).encode())
    while (message := read_message(channel)) is not None:
        asked = _DECODER.decode(message)
        if isinstance(asked, TailRequest):
            follow(place, channel, send)
            return
        _answer(place._replace(now=time.time_ns()), asked, send)


def _answer(place: Place, asked: QuestionRequest | ChangeRequest, send: Callable[[bytes, bytes], None]) -> None:
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.setpriority(os.PRIO_PROCESS, 0, _NICEST)
    try:
        if isinstance(asked, ChangeRequest):
            send(DATA, CHANGES[asked.name](place, asked.who, asked.body.encode(), asked.subject))
        else:
            for part in answer(place, asked.name, asked.texts):
                if not isinstance(part, Note):
                    for start in range(0, len(part), _FRAME_BYTES):
                        send(DATA, part[start : start + _FRAME_BYTES])
                elif asked.noted:
                    send(DATA, NOTE + part)
    except SidelogError as error:
        send(ERROR, _said(error))
    except OSError:  # nobody listens
        raise
    except Exception:  # noqa: BLE001 - the one place where a fault of the program becomes a sentence
        traceback.print_exc()
        send(ERROR, _said(SidelogError("SL999", "answer", asked.name, UNEXPECTED)))
    else:
        send(END, b"")


def _said(error: SidelogError) -> bytes:
    return msgspec.json.encode(error.document())
