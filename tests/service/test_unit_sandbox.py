"""Reading a unit with its drop-ins, and what its sandbox leaves of the machine; by files alone."""

import ipaddress
import os

import pytest

from agent.core.errors import SidelogError
from agent.service import account, network, unit
from agent.service.sandbox import Sandbox


@pytest.fixture
def directories(tmp_path, monkeypatch):
    found = [tmp_path / name for name in ("etc", "run", "usr")]
    for directory in found:
        directory.mkdir()
    monkeypatch.setattr(unit, "DIRECTORIES", tuple(map(str, found)))
    return found


@pytest.fixture
def service(tmp_path):
    """The unit that these lines of [Service] make."""

    def made(*lines):
        path = tmp_path / "sidelog.service"
        path.write_text("\n".join(("[Service]", *lines, "")))
        return unit.find(str(path))

    return made


def test_drop_ins_count_by_name_and_the_first_directory_wins(directories):
    etc, run, usr = directories
    (usr / "sidelog.service").write_text("[Unit]\nUser=nobody\n[Service]\nUser=root\nReadWritePaths=/a\\\n# no\n  /b\n")
    for folder, name, text in (
        (usr, "sidelog.service.d/50.conf", "ReadWritePaths=/never"),
        (run, "sidelog.service.d/50.conf", "ReadWritePaths=\nReadWritePaths='/c d' -/e"),
        (etc, "service.d/10.conf", "User=daemon"),
        (etc, "sidelog.service.d/60.conf", "PrivateTmp=on"),
        (usr, "sidelog.service.d/70.conf", "PrivateTmp=no"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"[Service]\n{text}\n")
    (etc / "sidelog.service.d/70.conf").symlink_to(os.devnull)
    found = unit.find("sidelog")
    assert (found.text("User"), found.words("ReadWritePaths"), found.flag("PrivateTmp")) == (
        "daemon",
        ["/c d", "-/e"],
        True,
    )
    assert found.installed
    (etc / "sidelog.service").symlink_to(os.devnull)
    assert unit.find() is None, "it is masked"
    assert unit.find("absent") is None


def test_an_instance_has_the_unit_of_its_template_and_specifiers(directories):
    (directories[0] / "sidelog@.service").write_text(
        "[Service]\nReadWritePaths=%S/%p/%i /50%%\nStateDirectory=sidelog/%i\n"
    )
    (directories[0] / "sidelog@shop.service.d").mkdir()
    (directories[0] / "sidelog@shop.service.d/a.conf").write_text("[Service]\nUser=daemon\n")
    found = unit.find("sidelog@shop")
    assert found.words("ReadWritePaths") == ["/var/lib/sidelog/shop", "/50%"]
    assert found.text("User") == "daemon"
    assert Sandbox(found).makes("/var/lib/sidelog/shop/sidelog.db")


def test_the_environment_is_that_of_the_unit(service, tmp_path):
    (tmp_path / "defaults").write_text("# a comment\nTOKEN='t o'\nPLAIN=a b\n\n")
    found = service(
        'Environment=SIDELOG_CONFIG=/x "WORDS=a b"',
        f"EnvironmentFile={tmp_path}/defaults",
        "EnvironmentFile=-/absent",
        "StateDirectory=sidelog",
    ).environment("daemon", "/usr/sbin")
    assert (found["SIDELOG_CONFIG"], found["WORDS"], found["TOKEN"], found["PLAIN"]) == ("/x", "a b", "t o", "a b")
    assert (found["STATE_DIRECTORY"], found["HOME"], found["USER"]) == ("/var/lib/sidelog", "/usr/sbin", "daemon")


@pytest.mark.parametrize(
    ("lines", "hidden", "seen"),
    [
        (["PrivateTmp=yes"], ["/tmp/a.log", "/var/tmp/x/a"], ["/var/log/a", "/tmpfile"]),
        (["PrivateTmp=yes", "BindReadOnlyPaths=-/tmp/shop"], ["/tmp/a.log"], ["/tmp/shop/a.log"]),
        (
            ["ProtectHome=yes", "BindReadOnlyPaths=/home/ann"],
            ["/home/ann/a.log", "/root/a", "/run/user/1/a"],
            ["/run/a"],
        ),
        (["ProtectHome=tmpfs", "BindPaths=/srv:/home/ann"], ["/home/bob/a"], ["/home/ann/a.log"]),
        (["ProtectHome=read-only"], [], ["/home/a"]),
        (["ProtectHome=no", "PrivateTmp=false"], [], ["/home/a", "/tmp/a"]),
        (["InaccessiblePaths=-/srv/a /srv/b"], ["/srv/a/x", "/srv/b"], ["/srv/c", "/srv/bb"]),
        (["DynamicUser=yes"], ["/tmp/a.log"], ["/home/a.log"]),
        (["PrivateDevices=yes"], ["/dev/kmsg"], ["/dev/shm/a.log", "/dev/null"]),
        (["TemporaryFileSystem=/var", "StateDirectory=sidelog"], ["/var/log/a"], ["/var/lib/sidelog/sidelog.db"]),
        (["TemporaryFileSystem=/srv:ro", "BindPaths=/srv/log"], ["/srv/x"], ["/srv/log/x"]),
    ],
)
def test_what_is_hidden(service, lines, hidden, seen):
    sandbox = Sandbox(service(*lines))
    assert [path for path in (*hidden, *seen) if sandbox.hides(path)] == hidden


@pytest.mark.parametrize(
    "line", ["PrivateTmp=yes", "ProtectHome=yes", "ProtectHome=tmpfs", "InaccessiblePaths=/home /tmp"]
)
def test_the_lines_of_the_cure_open_it(service, line):
    path = "/tmp/logs/a.log" if "Tmp" in line else "/home/ann/a.log"
    cure = Sandbox(service(line)).hides(path).cure
    assert Sandbox(service(line, *cure)).hides(path) is None


def test_what_is_read_only(service, tmp_path):
    lines = ["ProtectSystem=strict", "StateDirectory=sidelog", "PrivateTmp=yes", "ReadWritePaths=-/var/log/shop"]
    sandbox = Sandbox(service(*lines, "ReadOnlyPaths=/var/log/shop/old"))
    assert sandbox.protects("/var/log/other").setting == "ProtectSystem=strict"
    assert sandbox.protects("/var/log/shop/old").setting == "ReadOnlyPaths=/var/log/shop/old"
    for path in ("/var/log/shop/a", "/var/lib/sidelog/sidelog.db", "/dev/shm"):
        assert sandbox.protects(path) is None
    (cure,) = sandbox.protects("/var/log/other").cure
    assert Sandbox(service(*lines, cure)).protects("/var/log/other") is None
    assert Sandbox(service("ProtectSystem=full")).protects("/etc/sidelog") is not None
    assert Sandbox(service("ProtectSystem=yes")).protects("/etc/sidelog") is None
    (tmp_path / "link").symlink_to("/srv/logs")
    assert Sandbox(service("ReadOnlyPaths=/srv")).protects(str(tmp_path / "link/a")) is not None
    assert Sandbox(None).protects("/") is Sandbox(None).hides("/") is None


def blocked(service, *addresses):
    return network.blocks(service, [ipaddress.ip_address(one) for one in addresses])


def test_what_of_the_network_is_blocked(service):
    closed = service("IPAddressDeny=any", "IPAddressAllow=localhost")
    assert blocked(closed, "192.0.2.1")
    assert blocked(closed, "2001:db8::1")
    assert blocked(closed)
    assert blocked(closed, "127.0.0.1") is blocked(closed, "::1") is None
    some = service("IPAddressDeny=any", "IPAddressAllow=localhost 192.0.2.0/24")
    assert blocked(some, "192.0.2.9") is blocked(some) is blocked(some, "198.51.100.1", "192.0.2.9") is None
    assert blocked(some, "198.51.100.1").setting == "IPAddressDeny=any"
    assert blocked(service("IPAddressDeny=192.0.2.0/24"), "198.51.100.1") is None
    assert blocked(service("IPAddressAllow=localhost"), "198.51.100.1") is None
    opened = service("IPAddressDeny=any", "IPAddressAllow=localhost", *blocked(closed).cure)
    assert blocked(opened, "192.0.2.1") is None


@pytest.mark.parametrize(
    ("lines", "reached"),
    [
        (["RestrictAddressFamilies=AF_UNIX"], False),
        (["RestrictAddressFamilies=AF_UNIX", "RestrictAddressFamilies=AF_INET"], True),
        (["RestrictAddressFamilies=none"], False),
        (["RestrictAddressFamilies=~AF_INET AF_INET6"], False),
        (["RestrictAddressFamilies=~AF_PACKET"], True),
        (["PrivateNetwork=yes"], False),
        ([], True),
    ],
)
def test_families_of_addresses(service, lines, reached):
    restriction = network.cuts_off(service(*lines))
    assert (restriction is None) == reached
    if restriction is not None:
        assert network.cuts_off(service(*lines, *restriction.cure)) is None


def test_who_a_unit_runs_as(service):
    found = account.of_unit(
        service("User=daemon", "SupplementaryGroups=adm games", "AmbientCapabilities=CAP_DAC_READ_SEARCH")
    )
    assert (found.name, found.keeps) == ("daemon", (2,))
    assert {"daemon", "adm", "games"} <= set(found.group_names())
    assert account.of_unit(service("User=daemon", "Group=adm")).group_names()[0] == "adm"
    none = service("User=daemon", "AmbientCapabilities=CAP_DAC_READ_SEARCH", "PrivateUsers=yes")
    assert account.of_unit(none).keeps == ()
    assert account.of_unit(service("CapabilityBoundingSet=")).keeps == ()
    assert len(account.of_unit(service("CapabilityBoundingSet=~CAP_CHOWN")).keeps) == 3
    with pytest.raises(SidelogError, match="makes its user nobody-at-all at each start"):
        account.of_unit(service("User=nobody-at-all", "DynamicUser=yes"))
    with pytest.raises(SidelogError, match="makes its user sidelog at each start"):
        account.of_unit(service("DynamicUser=yes"))
    assert account.of_unit(service("DynamicUser=yes", "User=daemon")).name == "daemon"
    for lines in (["User=nobody-at-all"], ["User=daemon", "Group=no-group-at-all"]):
        with pytest.raises(Exception, match=r"there is no .*-at-all"):
            account.of_unit(service(*lines))


def test_the_unit_that_comes_along_is_what_its_comments_say():
    packaged = unit.packaged()
    sandbox = Sandbox(packaged)
    assert not packaged.installed
    assert sandbox.hides("/tmp/a.log")
    assert sandbox.hides("/home/a.log")
    assert sandbox.hides("/root/a.log")
    assert sandbox.protects("/var/log/shop")
    assert sandbox.protects("/var/lib/sidelog/archive") is None
    assert blocked(packaged, "192.0.2.1")
    assert network.cuts_off(packaged) is None
    assert not sandbox.compiles()
    assert sandbox.makes("/var/lib/sidelog")
    assert "adm" in packaged.words("SupplementaryGroups")
