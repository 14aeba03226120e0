"""The logs that a machine has become sources of its configuration; what the service may not read is a comment."""

import re

import pytest

from agent.config import load
from agent.install import found
from tests.install.machine import empty_machine, logs_at

MANY = [
    "/var/log/nginx/access.log",
    "/var/log/apache2/error.log",
    "/var/log/postgresql/postgresql-15-main.log",
    "/var/log/mysql/error.log",
    "/var/log/syslog",
    "/var/log/auth.log",
]


@pytest.fixture
def place(tmp_path):
    return empty_machine(tmp_path / "machine")


def sources(place, tmp_path):
    """What the written configuration follows."""
    file = tmp_path / "sidelog.yaml"
    file.write_text(found.configuration(place, found.find(place)))
    return {source.name: source for source in load(file).sources}


def test_everything_that_is_there_is_followed(place, tmp_path):
    logs_at(place, *MANY)
    made = sources(place, tmp_path)
    assert list(made) == ["nginx", "apache", "postgresql", "mysql", "syslog"]
    assert made["nginx"].include == ["/var/log/nginx/*.log"]
    assert made["syslog"].include == ["/var/log/syslog", "/var/log/auth.log"]


def test_other_distributions_have_other_names(place, tmp_path):
    logs_at(place, "/var/log/httpd/access_log", "/var/log/mariadb/mariadb.log", "/var/log/messages", "/var/log/secure")
    made = sources(place, tmp_path)
    assert {name: source.include for name, source in made.items()} == {
        "apache": ["/var/log/httpd/*_log"],
        "mysql": ["/var/log/mariadb/*.log"],
        "syslog": ["/var/log/messages", "/var/log/secure"],
    }


def test_without_syslog_it_is_the_journal(place, tmp_path):
    place.at("/run/log/journal").mkdir(parents=True)
    made = sources(place, tmp_path)
    assert list(made) == ["journal"]
    assert made["journal"].journal is not None


def test_a_program_that_has_written_nothing_yet_is_followed_too(place, tmp_path):
    place.at("/var/log/nginx").mkdir(parents=True)
    assert list(sources(place, tmp_path)) == ["nginx"]


def test_without_logs_the_example_stands_there(place, tmp_path):
    assert list(sources(place, tmp_path)) == ["app"]


def test_what_the_service_may_not_read_is_offered_as_a_comment(place, tmp_path):
    logs_at(place, "/var/log/nginx/access.log")
    logs_at(place, "/var/lib/docker/containers/3f/3f-json.log", mode=0o600)
    logs_at(place, "/var/log/mysql/error.log")
    place.at("/var/log/mysql").chmod(0o700)
    text = found.configuration(place, found.find(place))
    assert list(sources(place, tmp_path)) == ["nginx"]
    assert "# docker: the service may not read it." in text
    assert "# mysql: the service may not read it." in text
    without = re.sub(r"^( +)#(- name: docker|  include: \[/var/lib/docker.*)$", r"\1\2", text, flags=re.MULTILINE)
    without = without.replace("    #include: [/var/lib/docker", "    include: [/var/lib/docker")
    file = tmp_path / "sidelog.yaml"
    file.write_text(without)
    assert [source.name for source in load(file).sources] == ["nginx", "docker"], "taking the # away opens it"


def test_a_group_of_the_service_may_read(place, tmp_path):
    logs_at(place, "/var/log/syslog", mode=0o640)
    status = place.at("/var/log/syslog").stat()
    place.at("/etc/group").write_text(f"root:x:0:\nadm:x:{status.st_gid}:\n")
    assert list(sources(place, tmp_path)) == ["syslog"]
    place.at("/etc/group").write_text(f"root:x:0:\nadm:x:{status.st_gid + 1}:\n")
    assert list(sources(place, tmp_path)) == ["app"], "all is a comment, and the example stays"


@pytest.mark.parametrize(
    ("target", "zone"),
    [
        ("/usr/share/zoneinfo/Europe/Vienna", "Europe/Vienna"),
        ("../usr/share/zoneinfo/posix/Asia/Tokyo", "Asia/Tokyo"),
        ("/usr/share/zoneinfo/Etc/UTC", "UTC"),
        ("/usr/share/zoneinfo/No/Where", "UTC"),
    ],
)
def test_lines_without_a_zone_are_of_the_machines(place, tmp_path, target, zone):
    logs_at(place, "/var/log/syslog")
    place.at("/etc/localtime").symlink_to(target)
    assert sources(place, tmp_path)["syslog"].timezone == zone
