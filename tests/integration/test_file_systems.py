"""File systems that tell less than ext4: without inode generations, without events, with two layers."""

import os
import subprocess

from tests.integration.harness import wait_until
from tests.integration.oracle import Scribe, nudge, settled
from tests.needs import limited, needs


def follow_and_rotate(box, scribe):
    """Append, rename, truncate, recreate."""
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    nudge(box, scribe, box.log)
    box.log.rename(box.logs / "app.log.1")
    nudge(box, scribe, box.log)
    os.truncate(box.log, 0)
    nudge(box, scribe, box.log)
    box.log.unlink()
    nudge(box, scribe, box.log)
    box.kill()
    scribe.append(box.log, 5)
    box.start()
    settled(box, scribe)


@needs("root")
def test_a_memory_file_system_has_no_inode_generations(box):
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", box.logs], check=True)
    try:
        follow_and_rotate(box, Scribe())
    finally:
        box.kill()
        subprocess.run(["umount", "-l", box.logs], check=True)


@needs("root")
def test_a_file_that_is_copied_up_through_an_overlay_goes_on(box):
    """The first write gives it another inode in the upper layer; no event tells of it."""
    for name in ("lower", "upper", "work"):
        (box.root / name).mkdir()
    scribe = Scribe()
    scribe.append(box.root / "lower" / "app.log", 10)
    layers = f"lowerdir={box.root}/lower,upperdir={box.root}/upper,workdir={box.root}/work"
    mounted = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", layers, box.logs], capture_output=True, check=False
    )
    if mounted.returncode:
        limited("overlayfs", mounted.stderr.decode())
    try:
        box.start()
        box.wait_count(10)
        scribe.append(box.log, 10)
        box.wait_count(20)
        again = Scribe("again")
        box.log.rename(box.logs / "app.log.1")
        nudge(box, again, box.log)
        settled(box, scribe, again)
    finally:
        box.kill()
        subprocess.run(["umount", "-l", box.logs], check=True)


@needs("root", "bindfs")
def test_fuse_tells_nothing_of_what_happens_behind_it_and_is_polled(box):
    """Written below the mount, so that no event comes: polled, said once, renames and truncations noticed."""
    below = box.root / "below"
    below.mkdir()
    mounted = subprocess.run(["bindfs", below, box.logs], capture_output=True, check=False)
    if mounted.returncode:
        limited("fuse", mounted.stderr.decode())
    scribe = Scribe()
    log = below / "app.log"
    try:
        scribe.append(log, 10)
        box.start()
        box.wait_count(10)
        nudge(box, scribe, log)
        log.rename(below / "app.log.1")
        nudge(box, scribe, log)
        wait_until(lambda: any(error["code"] == "SL206" for error in box.status()["errors"]), what="the condition")
        settled(box, scribe)
    finally:
        box.kill()
        subprocess.run(["umount", "-l", box.logs], check=True)
