"""Logs behind symbolic links: what rotates is the target, in its own directory, and any link on the way may change."""

import gzip
import os
import shutil

import pytest

from tests.integration.archiving import archives, configure
from tests.integration.harness import append, events, wait_until
from tests.integration.oracle import Scribe, verify

NEVER_S = 3600.0  # the net under all events, a look every ten seconds, helps no test here


def rotate(target):
    """0.log.1 → 0.log.2, 0.log → 0.log.1; there is no new 0.log yet."""
    for number in range(9, 0, -1):
        older = target.with_name(f"{target.name}.{number}")
        if older.exists():
            older.rename(target.with_name(f"{target.name}.{number + 1}"))
    target.rename(target.with_name(f"{target.name}.1"))


@pytest.fixture
def target(box):
    """The log behind logs/web.log."""
    real = box.root / "real"
    real.mkdir()
    (box.logs / "web.log").symlink_to("../real/0.log")
    return real / "0.log"


def test_a_target_that_rotates_while_the_agent_is_down(box, target):
    scribe = Scribe()
    scribe.append(target, 5)
    box.once()
    for _ in range(2):
        scribe.append(target, 5)
        rotate(target)
        scribe.append(target, 5)
        box.once()
        verify(box, scribe)


def test_a_target_that_rotates_live_and_again_before_anybody_looks(box, target):
    scribe = Scribe()
    scribe.append(target, 5)
    box.start(rescan_s=NEVER_S)
    box.wait_count(5)
    for _ in range(3):
        rotate(target)
        scribe.append(target, 5)
        box.wait_count(len(scribe.written))
    for _ in range(5):
        scribe.append(target, 5)
        rotate(target)
        scribe.append(target, 5)
    box.wait_count(len(scribe.written))
    assert box.stop() == 0
    verify(box, scribe)
    states = box.sql("SELECT state, count(*) FROM files GROUP BY 1")
    assert dict(states)["active"] == 1


@pytest.mark.parametrize("live", [True, False], ids=["live", "down"])
@pytest.mark.parametrize("way", ["copytruncate", "gzip", "deleted"])
def test_other_ways_to_rotate_a_target(box, target, way, live):
    scribe = Scribe()
    scribe.append(target, 20)
    if live:
        box.start(rescan_s=NEVER_S)
        box.wait_count(20)
    else:
        box.once()
    for _ in range(2):
        if not (live and way == "deleted"):
            scribe.append(target, 5)
        if live:
            box.wait_count(len(scribe.written))
        elif way == "deleted":
            box.once()
        if way == "deleted":
            target.unlink()
        elif way == "gzip":
            rotate(target)
            old = target.with_name("0.log.1")
            old.with_name("0.log.1.gz").write_bytes(gzip.compress(old.read_bytes()))
            old.unlink()
        else:
            shutil.copy2(target, target.with_name("0.log.1"))
            os.truncate(target, 0)
        scribe.append(target, 7)
        if not live:
            box.once()
        box.wait_count(len(scribe.written))
    verify(box, scribe)


class Pod:
    """A container's log as Kubernetes has it over Docker: two links, the first to the second."""

    def __init__(self, root) -> None:
        self.docker = root / "docker" / "abc"
        self.pod = root / "pods" / "shop_cart_1" / "cart"
        self.containers = root / "containers"
        for folder in (self.docker, self.pod, self.containers):
            folder.mkdir(parents=True)
        self.restarts = -1
        self.log = self.docker / "abc-json.log"
        self.start()

    def start(self) -> None:
        """The container starts anew: another log, another link in the pod, and the first one leads there."""
        self.restarts += 1
        self.log = self.docker / f"abc{self.restarts}-json.log"
        self.log.touch()
        middle = self.pod / f"{self.restarts}.log"
        middle.symlink_to(self.log)
        link = self.containers / "cart-abc.log"
        link.unlink(missing_ok=True)
        link.symlink_to(middle)


@pytest.mark.parametrize("live", [True, False], ids=["live", "down"])
def test_the_links_of_kubernetes(box, live):
    pod = Pod(box.root)
    box.configure(include=[f"{pod.containers}/*.log"])
    scribe = Scribe()

    def write(count: int) -> None:
        scribe.append(pod.log, count)
        if live:
            box.wait_count(len(scribe.written))
        else:
            box.once()
            scribe.append(pod.log, 2)  # behind what is known when the links change

    if live:
        box.start(rescan_s=NEVER_S)
    for step in range(3):
        write(5)
        rotate(pod.log)
        write(5)
        pod.start()
        write(5)
        if step == 1:  # the last container's second log goes while it is followed
            middle = pod.pod / f"{pod.restarts}.log"
            middle.unlink()
            pod.log = pod.docker / "moved-json.log"
            middle.symlink_to(pod.log)
            write(5)
    if not live:
        box.once()
    verify(box, scribe)


def test_a_pod_that_is_gone_with_all_its_logs(box):
    """Nothing is looked for, and nothing waits, when its directories are deleted as a whole."""
    pod = Pod(box.root)
    box.configure(include=[f"{pod.containers}/*.log"])
    scribe = Scribe()
    scribe.append(pod.log, 5)
    box.once()
    (pod.containers / "cart-abc.log").unlink()
    shutil.rmtree(pod.docker)
    shutil.rmtree(pod.pod)
    box.once()
    assert box.sql("SELECT state FROM files") == [("finished",)]
    verify(box, scribe)


@pytest.mark.parametrize("live", [True, False], ids=["live", "down"])
def test_a_deployment_behind_a_link_to_its_directory(box, live):
    """`current → releases/2`: the old release's log is read to its end, the new one's from its beginning."""
    releases, current = box.root / "releases", box.root / "current"
    box.configure(include=[f"{current}/log/*.log"])
    scribes = [Scribe(f"release {number}") for number in range(4)]
    if live:
        box.start(rescan_s=NEVER_S)
    for number, scribe in enumerate(scribes):
        folder = releases / str(number) / "log"
        folder.mkdir(parents=True)
        scribe.append(folder / "app.log", 5)
        if number:  # the old processes write a little longer
            scribes[number - 1].append(releases / str(number - 1) / "log" / "app.log", 5)
        link = box.root / "next"
        link.symlink_to(f"releases/{number}")
        link.rename(current)
        if number:
            scribes[number - 1].append(releases / str(number - 1) / "log" / "app.log", 5)
        scribe.append(current / "log" / "app.log", 5)
        if live:
            box.wait_count(sum(len(scribe.written) for scribe in scribes))
        else:
            box.once()
            scribe.append(current / "log" / "app.log", 5)
            rotate(folder / "app.log")
            scribe.append(current / "log" / "app.log", 5)
            box.once()
    verify(box, *scribes)


def test_directories_that_come_under_a_pattern(box):
    """All of a path at once, one after the other, behind a link, and in place of another."""
    app = box.root / "app"
    box.configure(include=[f"{app}/releases/*/log/*.log", f"{box.root}/other/**/deep.log"])
    scribe = Scribe()
    box.start(rescan_s=NEVER_S)

    def expect(path) -> None:
        scribe.append(path, 3)
        box.wait_count(len(scribe.written))

    for number in range(3):
        folder = app / "releases" / str(number) / "log"
        folder.mkdir(parents=True)
        expect(folder / "app.log")
    slow = app / "releases" / "slow"
    slow.mkdir()
    expect(app / "releases" / "0" / "log" / "second.log")
    (slow / "log").mkdir()
    expect(app / "releases" / "0" / "log" / "third.log")
    expect(slow / "log" / "app.log")
    ready = box.root / "ready" / "log"
    ready.mkdir(parents=True)
    scribe.append(ready / "app.log", 3)
    ready.parent.rename(app / "releases" / "ready")
    box.wait_count(len(scribe.written))
    linked = box.root / "linked" / "log"
    linked.mkdir(parents=True)
    (app / "releases" / "linked").symlink_to(linked.parent)
    expect(linked / "app.log")
    (box.root / "other" / "a" / "b" / "c").mkdir(parents=True)
    expect(box.root / "other" / "a" / "b" / "c" / "deep.log")
    assert box.stop() == 0
    verify(box, scribe)


def test_a_link_that_leads_nowhere_at_first(box):
    """Directories and target come later, also those of a link in between."""
    scribe = Scribe()
    (box.logs / "a.log").symlink_to("../later/on/a.log")
    (box.logs / "b.log").symlink_to("../links/b.log")
    box.start(rescan_s=NEVER_S)
    (box.root / "links").mkdir()
    (box.root / "links" / "b.log").symlink_to("../later/on/b.log")
    (box.root / "later" / "on").mkdir(parents=True)
    for name in "ab":
        scribe.append(box.root / "later" / "on" / f"{name}.log", 3)
        box.wait_count(len(scribe.written))
    verify(box, scribe)


def test_rotated_targets_are_archived(box, target):
    """Those that were followed, and one that was rotated before anybody looked, under the name of the target."""
    configure(box)
    scribe = Scribe()
    scribe.append(target.with_name("0.log.2"), 4)  # never followed
    scribe.append(target.with_name("0.log.1"), 5)
    scribe.append(target, 5)
    box.start(rescan_s=NEVER_S)
    box.wait_count(5)
    rotate(target)
    scribe.append(target, 5)
    box.wait_count(10)
    wait_until(lambda: len(archives(box)) == 3, what="three archives")
    wait_until(lambda: list(target.parent.iterdir()) == [target], what="the deletion of what is archived")
    assert box.stop() == 0
    assert sorted(box.raw().splitlines()) == sorted(scribe.written)
    assert (box.logs / "web.log").is_symlink()
    assert box.run("archive", "verify").returncode == 0


def test_targets_that_a_link_has_left_are_archived(box):
    """`current.log → app-1.log`, then `→ app-2.log`, beside it or not; the one that it leads to now stays."""
    configure(box, source={"include": [f"{box.logs}/current.log", f"{box.root}/current/*.log"]})
    scribe = Scribe()
    box.start(rescan_s=NEVER_S)
    for number in range(3):
        release = box.root / "releases" / str(number)
        release.mkdir(parents=True)
        for log, link in ((box.logs / f"app-{number}.log", box.logs), (release / "web.log", box.root)):
            scribe.append(log, 5)
            new = link / "next"
            new.symlink_to(log if link == box.logs else release)
            new.rename(link / ("current.log" if link == box.logs else "current"))
        box.wait_count(10 * (number + 1))
    wait_until(lambda: len(archives(box)) == 4, what="four archives")
    left = lambda: {path.name for path in box.logs.glob("app-*")} | {str(p) for p in box.root.glob("releases/*/*")}  # noqa: E731
    wait_until(lambda: left() == {"app-2.log", str(box.root / "releases/2/web.log")}, what="the deletion of the others")
    assert box.stop() == 0
    assert sorted(box.raw().splitlines()) == sorted(scribe.written)


def test_a_linked_directory_is_archived_once(box):
    """The same log has two paths then."""
    configure(box)
    real = box.root / "real"
    box.logs.rename(real)
    box.logs.symlink_to(real)
    append(box.log, events(0, 5))
    box.start(rescan_s=NEVER_S)
    box.wait_count(5)
    box.log.rename(box.logs / "app.log.1")
    append(box.log, events(5, 5))
    box.wait_count(10)
    wait_until(lambda: list(real.iterdir()) == [real / "app.log"], what="the deletion of what is archived")
    assert len(archives(box)) == 1
    assert box.stop() == 0
    assert sorted(box.numbers()) == list(range(10))
    assert len(box.query()) == 10
