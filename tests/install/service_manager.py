#!/usr/bin/env python3
"""`systemctl` where no systemd runs: enabling is systemd's own, starting is what the unit says, without its sandbox.

Called as `systemctl` by the commands of the documentation, in a mount namespace of a test. It starts what the unit and
its drop-ins say, with User=, Group=, SupplementaryGroups=, Environment=, StateDirectory=, and waits for READY=1 as
Type=notify does. Never boot a systemd there: its start empties /tmp, which the namespace shares with the machine.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

UNIT = Path("/etc/systemd/system/sidelog.service")
PID = Path("/run/sidelog-test.pid")
READY_S = 60


def settings() -> dict[str, str]:
    """The last value of each key of the unit and its drop-ins; supplementary groups add up."""
    found: dict[str, str] = {}
    for file in (UNIT, *sorted(UNIT.with_name(f"{UNIT.name}.d").glob("*.conf"))):
        for line in file.read_text().splitlines():
            key, is_setting, value = line.partition("=")
            if is_setting and line[0] != "#":
                more = key == "SupplementaryGroups" and key in found
                found[key] = f"{found[key]} {value}" if more else value
    return found


def start() -> None:
    """Start the service, and wait until it says that it is ready."""
    unit = settings()
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = f"/run/notify-{os.getpid()}"
    notify.bind(address)
    Path(address).chmod(0o666)
    notify.settimeout(READY_S)
    name, _, value = unit["Environment"].partition("=")
    state = f"/var/lib/{unit['StateDirectory']}"
    shutil.chown(state, unit["User"], unit["Group"])
    Path(state).chmod(int(unit["StateDirectoryMode"], 8))
    given = {name: value, "NOTIFY_SOCKET": address, "STATE_DIRECTORY": state}
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    groups = ",".join(unit["SupplementaryGroups"].split())
    user = ["setpriv", f"--reuid={unit['User']}", f"--regid={unit['Group']}", f"--groups={groups}"]
    with Path("/run/agent.err").open("ab") as err:
        process = subprocess.Popen(
            [*user, *shlex.split(unit["ExecStart"])],
            env=kept | given, cwd=unit["WorkingDirectory"], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
        )  # fmt: skip
    PID.write_text(str(process.pid))
    while b"READY=1" not in notify.recv(4096):
        pass


def stop() -> None:
    """End the service, and wait for it."""
    if not PID.exists():
        return
    pid = int(PID.read_text())
    PID.unlink()
    os.kill(pid, signal.SIGTERM)
    while Path(f"/proc/{pid}/exe").exists():  # a zombie has none
        time.sleep(0.02)


def main() -> int:
    """Do one verb."""
    verb, *rest = sys.argv[1:]
    if verb == "is-active":
        return 0 if PID.exists() else 3
    if verb in ("enable", "disable"):
        offline = {**os.environ, "SYSTEMD_OFFLINE": "1"}
        names = [word for word in rest if word != "--now"]
        subprocess.run(["/usr/bin/systemctl", verb, *names], env=offline, check=True)
    if verb in ("stop", "restart") or (verb == "disable" and "--now" in rest):
        stop()
    if verb in ("start", "restart") or (verb == "enable" and "--now" in rest):
        start()
    return 0


sys.exit(main())
