"""A unit's sandbox of files made for real: `python enacting.py [--fresh] UNIT USER COMMAND…`, in a mount namespace.

It mounts what systemd 252 would (src/core/namespace.c: `setup_namespace`), below a copy of the root directory, and runs
the command there as the user. It shares nothing with `agent.service.sandbox`, which has to agree with it. With
`--fresh` the directories of `FRESH` get empty file systems before, with a tree of files in each, so that nothing of the
machine changes.
"""

import ctypes
import grp
import os
import pwd
import shlex
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

FRESH = ("/run", "/run/user", "/home", "/root", "/srv", "/tmp", "/var/tmp", "/opt", "/media")
TREE = ("a.log", "run", "sub/a.log", "sub/run", "sub/deep/a.log", "sub/deep/run", "other one/a.log", "other one/run")
BIND, REC, REMOUNT, RDONLY, NOEXEC, PRIVATE = 4096, 16384, 32, 1, 8, 1 << 18
# In the order in which they count for one path (`MountMode`).
MODES = ("inaccessible", "bind", "private-tmp", "private-dev", "read-only", "read-write", "no-exec", "exec", "tmpfs")
MODES = {name: number for number, name in enumerate((*MODES, "implicit"))}
HOMES = ("/home", "/run/user", "/root")
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags, options=""):
    text = [None if one is None else str(one).encode() for one in (source, target, kind)]
    if libc.mount(*text, flags, options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}")


def settings(path):
    found = defaultdict(list)
    files = [Path(path), *sorted(Path(f"{path}.d").glob("*.conf"))]
    for line in "\n".join(file.read_text() for file in files).splitlines():
        key, equals, value = line.partition("=")
        if equals and value:
            found[key].append(value)
        elif equals:
            found[key] = []
    return found


def words(found, key):
    return [word for value in found[key] for word in shlex.split(value)]


def last(found, key):
    return found[key][-1] if found[key] else ""


def entries(found):
    """[path, mode, source, read-only, not to be run] of all that the settings mount."""
    home, system = last(found, "ProtectHome"), last(found, "ProtectSystem")
    made = {"yes": "inaccessible", "read-only": "read-only", "tmpfs": "tmpfs"}.get(home)
    rows = [[path, made, None, home == "tmpfs", False] for path in HOMES if made]
    if last(found, "PrivateTmp") == "yes":
        rows += [[path, "private-tmp", None, False, False] for path in ("/tmp", "/var/tmp")]
    for word in words(found, "StateDirectory"):
        rows.append([f"/var/lib/{word}", "bind", f"/var/lib/{word}", False, False])
    if last(found, "PrivateDevices") == "yes":
        rows.append(["/dev", "private-dev", None, False, True])
    if system == "strict":
        rows.append(["/", "read-only", None, False, False])
        rows += [[path, "implicit", None, False, False] for path in ("/proc", "/sys", "/dev", *HOMES)]
    elif system in ("yes", "full"):
        rows += [[path, "read-only", None, False, False] for path in ("/usr", "/etc")[: 1 + (system == "full")]]
    for key, mode in (
        ("InaccessiblePaths", "inaccessible"),
        ("ReadOnlyPaths", "read-only"),
        ("ReadWritePaths", "read-write"),
        ("NoExecPaths", "no-exec"),
        ("ExecPaths", "exec"),
    ):
        rows += [[word, mode, None, False, False] for word in words(found, key)]
    for word in words(found, "TemporaryFileSystem"):
        path, _, options = word.partition(":")
        rows.append([path, "tmpfs", None, "ro" in options.split(","), False])
    for key in ("BindPaths", "BindReadOnlyPaths"):
        for word in words(found, key):
            source, _, rest = word.partition(":")
            rows.append([rest or source, "bind", source.lstrip("-"), key == "BindReadOnlyPaths", False])
    return rows


def in_order(rows):
    """Each path once, with what counts for it; nothing below what is inaccessible."""
    kept, closed = [], None
    rows = [[os.path.realpath(row[0].lstrip("-+")), *row[1:]] for row in rows if exists(row)]
    for row in sorted(rows, key=lambda row: (Path(row[0]).parts, MODES[row[1]])):
        row[3] = row[3] or row[1] in ("read-only", "inaccessible")
        row[4] = row[4] or row[1] in ("no-exec", "inaccessible")
        if kept and kept[-1][0] == row[0]:
            kept[-1][3] = kept[-1][3] or row[3]
            kept[-1][4] = kept[-1][4] or row[4]
        elif closed is None or not (row[0] + "/").startswith(closed):
            kept.append(row)
            closed = row[0] + "/" if row[1] == "inaccessible" else None
    return kept


def exists(row):
    source = row[2] or row[0].lstrip("-+")
    if not os.path.lexists(source) and not row[0].startswith("-"):
        raise SystemExit(f"{source} is missing: the unit does not start")
    return os.path.lexists(source)


def private_dev(target):
    """What `mount_private_dev` leaves of /dev."""
    new = tempfile.mkdtemp(dir="/run")
    mount("tmpfs", new, "tmpfs", NOEXEC, "mode=755")
    for name in ("null", "shm"):
        place = Path(new, name)
        place.touch() if name == "null" else place.mkdir()
        mount(f"/dev/{name}", place, None, BIND | REC)
    mount(new, target, None, BIND | REC)


def apply(row, root, closed):
    path, mode, source, *_ = row
    target = root + path
    if mode in ("bind", "tmpfs"):
        Path(target).mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(target):  # hidden by what is mounted above; systemd ends here where there is no `-`
        return
    if mode == "bind":
        mount(source, target, None, BIND | REC)
    elif mode == "inaccessible":
        mount(closed / ("d" if Path(target).is_dir() else "f"), target, None, BIND | REC)
    elif mode in ("tmpfs", "private-tmp"):
        mount("tmpfs", target, "tmpfs", 0, "mode=1777" if mode == "private-tmp" else "mode=0755")
    elif mode == "private-dev":
        private_dev(target)
    elif path != "/":
        mount(target, target, None, BIND | REC)


def remount(row, rows, root):
    """Flip what is read-only or not to be run, of all mounts below but those of other entries."""
    target = (root + row[0]).rstrip("/")
    others = [(root + other[0]).rstrip("/") for other in rows if other is not row and other[0] != "/"]
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for one in dict.fromkeys(name.replace("\\040", " ") for name in mounted):
        inside = one == target or one.startswith(target + "/")
        below_other = any(one == other or one.startswith(other + "/") for other in others if len(other) > len(target))
        if inside and not below_other and os.access(one, os.F_OK):  # what lies below another mount is out of reach
            status = os.statvfs(one).f_flag
            flags = status & (RDONLY | NOEXEC | 2 | 4) | RDONLY * row[3] | NOEXEC * row[4]
            flags &= ~NOEXEC if row[1] == "exec" and not row[4] else ~0
            mount(None, one, None, REMOUNT | BIND | flags)


def main():
    is_fresh = sys.argv[1] == "--fresh"
    unit, user, *command = sys.argv[1 + is_fresh :]
    found, account = settings(unit), pwd.getpwnam(user)
    if libc.unshare(0x00020000):  # CLONE_NEWNS
        raise OSError(ctypes.get_errno(), "unshare")
    mount(None, "/", None, REC | PRIVATE)
    for place in FRESH if is_fresh else ():
        Path(place).mkdir(exist_ok=True)
        mount("tmpfs", place, "tmpfs", 0, "mode=1777")
        for name in TREE:
            file = Path(place, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.parent.chmod(0o777)
            file.write_text("#!/bin/sh\n")
            file.chmod(0o777)
    root = tempfile.mkdtemp(dir="/run")
    closed = Path(tempfile.mkdtemp(dir="/run"))
    (closed / "d").mkdir(mode=0)
    (closed / "f").touch(mode=0)
    mount("/", root, None, BIND | REC)
    rows = in_order(entries(found))
    for row in rows:
        apply(row, root, closed)
    for row in rows:
        remount(row, rows, root)
    os.chroot(root)
    os.chdir("/")
    groups = [grp.getgrnam(name).gr_gid for name in words(found, "SupplementaryGroups")]
    gid = grp.getgrnam(last(found, "Group")).gr_gid if last(found, "Group") else account.pw_gid
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    os.execv(command[0], command)  # noqa: S606 - no shell: what it does for the test is given as words


main()
