"""What the service manager hears, on a real datagram socket."""

import os
import socket

import pytest

from agent.daemon import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A socket as systemd's, and the environment that names it."""
    name = f"@sidelog-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name[1:] if name.startswith("@") else name)
        channel.settimeout(10)
        yield channel, {"NOTIFY_SOCKET": name}


def fields(channel):
    return dict(line.split("=", 1) for line in channel.recv(4_096).decode().splitlines())


def test_every_step_is_one_datagram(manager):
    channel, environ = manager
    service = ServiceManager(environ)
    service.ready("following 2 sources")
    assert fields(channel) == {"READY": "1", "STATUS": "following 2 sources"}
    service.status("busy")
    assert fields(channel) == {"STATUS": "busy"}
    service.reloading()
    said = fields(channel)
    assert said["RELOADING"] == "1"
    assert int(said["MONOTONIC_USEC"]) > 0
    service.alive()
    assert fields(channel) == {"WATCHDOG": "1"}
    service.stopping()
    assert fields(channel) == {"STOPPING": "1"}


@pytest.mark.parametrize("name", ["", "/nowhere/notify", "@sidelog-nobody-listens", "vsock:2:1234", "x" * 300])
def test_without_a_manager_nothing_happens(name):
    service = ServiceManager({"NOTIFY_SOCKET": name} if name else {})
    service.ready("x")
    service.stopping()


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),  # meant for another process
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(environ, interval_s):
    assert ServiceManager(environ).watchdog_interval_s == interval_s


def test_the_environment_is_the_process_own_by_default():
    assert ServiceManager().watchdog_interval_s == ServiceManager(os.environ).watchdog_interval_s
