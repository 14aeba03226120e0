"""`remove --system`: what was installed goes, what was stored stays and is said first, unless it is asked for too."""

import os
from pathlib import Path

import pytest

from agent.core.errors import SidelogError
from agent.install import layout, owners, removal
from agent.install.layout import Program
from agent.store.lock import StoreLock
from tests.install.machine import empty_machine, installed, version
from tests.needs import needs

pytestmark = needs("root", "systemd")


@pytest.fixture
def place(tmp_path):
    """A machine where two versions were installed, and the service has stored and archived."""
    made = empty_machine(tmp_path / "machine")
    installed(made, version(made, "0.1.0"))
    installed(made, version(made, "0.2.0"))
    owner = owners.service_owner(made)
    state = made.at(layout.STATE)
    (state / "archive/app").mkdir(parents=True)
    for name in ("sidelog.db", "sidelog.db-wal", "archive/app/app-1.log.zst"):
        (state / name).write_text("the only copy")
    for path in (*state.rglob("*"), state):
        os.chown(path, *owner)
    for unit in (layout.UNIT, *layout.BACKUP_UNITS):  # as `systemctl edit` makes them
        made.at(f"{unit}.d").mkdir()
        made.at(f"{unit}.d/override.conf").touch()
    return made


def places(place):
    state = place.at(layout.STATE)
    return state / "sidelog.db", state / "archive"


def removed(place, *, purge=False, store=None, archives=None):
    usual = places(place)
    planned = removal.plan(place, store or usual[0], archives or usual[1], purge=purge)
    said = list(removal.sentences(planned))
    done = list(removal.remove(place, planned, store or usual[0]))
    return said, done


def left(place):
    """What there is below the places of sidelog."""
    return {
        str(path.relative_to(place.root))
        for path in place.root.rglob("*")
        if "sidelog" in str(path.relative_to(place.root))
    }


def test_it_takes_away_what_was_installed_and_leaves_what_was_stored(place):
    place.at(f"{layout.HOOKS}/slack.sh").write_text("mine")
    said, _ = removed(place)
    assert left(place) == {
        "etc/sidelog",
        "etc/sidelog/conf.d",
        "etc/sidelog/hooks",
        "etc/sidelog/hooks/slack.sh",
        "etc/sidelog/sidelog.yaml",
        "var/lib/sidelog",
        "var/lib/sidelog/archive",
        "var/lib/sidelog/archive/app",
        "var/lib/sidelog/archive/app/app-1.log.zst",
        "var/lib/sidelog/sidelog.db",
        "var/lib/sidelog/sidelog.db-wal",
    }
    assert "sidelog" not in place.at("/etc/passwd").read_text() + place.at("/etc/group").read_text()
    assert any(line.startswith("keep ") and "var/lib/sidelog: stores, archives" in line for line in said)
    assert {path.stat().st_uid for path in place.at(layout.STATE).rglob("*")} == {0}, "the number may become another's"


def test_an_environment_with_secrets_stays_until_it_is_asked_for(place):
    """The configuration that stays names them."""
    environment = place.at(layout.ENVIRONMENT)
    environment.write_text("CHAT_TOKEN=mine\n")
    said, _ = removed(place)
    assert (environment.read_text(), environment.stat().st_mode & 0o777) == ("CHAT_TOKEN=mine\n", 0o600)
    assert next(line for line in said if layout.ENVIRONMENT in line).startswith("keep ")
    installed(place, version(place, "0.3.0"))
    assert environment.read_text() == "CHAT_TOKEN=mine\n"
    said, _ = removed(place, purge=True)
    assert any(line.startswith("DELETE ") and layout.ENVIRONMENT in line for line in said)
    assert left(place) == set()


def test_purge_deletes_that_too_and_says_so_first(place):
    said, _ = removed(place, purge=True)
    assert left(place) == set()
    assert any(line.startswith("DELETE ") and "var/lib/sidelog" in line for line in said)


def test_installed_again_the_service_has_its_stores_again(place):
    removed(place)
    installed(place, version(place, "0.3.0"))
    owner = owners.service_owner(place)
    assert {path.stat().st_uid for path in place.at(layout.STATE).rglob("*")} == {owner.uid}


def test_stores_elsewhere_are_left_and_purged_with_nothing_beside_them(place, tmp_path):
    store, archives = tmp_path / "data/shop.db", tmp_path / "cold"
    (archives / "app").mkdir(parents=True)
    store.parent.mkdir()
    for path in (store, store.with_name("shop.db-wal"), store.with_name("shop.db.v7"), archives / "app/app-1.log.zst"):
        path.touch()
    (archives / ".sidelog.lock").touch()
    others = [store.with_name("shop.db2"), archives / "holiday.jpg"]
    for path in others:
        path.touch()
    said, _ = removed(place, store=store, archives=archives)
    assert {path for path in (store, archives) if str(path) in "\n".join(said)} == {store, archives}
    assert store.exists()
    installed(place, version(place, "0.1.0"))
    removed(place, purge=True, store=store, archives=archives)
    assert {path for path in tmp_path.rglob("*") if path.is_file() and "machine" not in str(path)} == {*others}


def test_what_is_gone_already_is_left_out(place):
    removed(place, purge=True)
    said, done = removed(place)
    assert (said, done) == ([], [])


def test_an_agent_that_runs_is_in_the_way(place):
    store, _ = places(place)
    lock = StoreLock(store)
    lock.acquire()
    try:
        with pytest.raises(SidelogError) as caught:
            removed(place, purge=True)
    finally:
        lock.release()
    assert caught.value.code == "SL623"
    assert store.exists()
    assert place.at(layout.UNIT).exists()


def test_a_package_is_left_to_its_manager(place):
    unit = place.at(layout.PACKAGED_UNIT)
    unit.parent.mkdir(parents=True)
    unit.touch()
    with pytest.raises(SidelogError) as caught:
        removed(place)
    assert caught.value.code == "SL622"


def test_a_link_to_another_program_stays(place):
    command = place.at(layout.COMMAND)
    command.unlink()
    command.symlink_to("/opt/another/bin/sidelog")
    removed(place)
    assert command.is_symlink()


def test_a_link_to_a_program_elsewhere_goes_when_it_was_made_for_it(tmp_path, monkeypatch):
    place = empty_machine(tmp_path / "other")
    program = Program(["/opt/pipx/sidelog/bin/sidelog"], tmp_path / "x")
    installed(place, program)
    monkeypatch.setattr(layout, "this_program", lambda: Program(program.words, Path("/opt/pipx/sidelog")))
    removed(place)
    assert not place.at(layout.COMMAND).is_symlink()


@pytest.mark.parametrize(
    ("mark", "how"),
    [
        ("pipx_metadata.json", "pipx uninstall sidelog"),
        ("uv-receipt.toml", "uv tool uninstall sidelog"),
        ("x", "delete"),
    ],
)
def test_a_program_that_another_has_installed_is_left_to_that_and_it_says_so(place, monkeypatch, mark, how):
    environment = place.at("/opt/tools/sidelog")
    environment.mkdir(parents=True)
    for name in ("pyvenv.cfg", mark):
        (environment / name).touch()
    program = Program(["/usr/local/bin/sidelog"], Path("/opt/tools/sidelog"))
    monkeypatch.setattr(layout, "this_program", lambda: program)
    said, _ = removed(place, purge=True)
    assert [line for line in said if line.startswith(f"keep    {environment}: the program; {how}")]
    assert environment.is_dir()
