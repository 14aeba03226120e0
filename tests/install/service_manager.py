#!/usr/bin/env python3
"""`systemctl` where no systemd runs: enabling is systemd's own, starting is what the unit says, without its sandbox.

Called as `systemctl` by the commands of the documentation, in a mount namespace of a test. It starts ExecStart= as
User= with SupplementaryGroups=, Environment=, STATE_DIRECTORY, and waits for READY=1 as Type=notify does. Never boot a
systemd there: its start empties /tmp, which the namespace shares with the machine.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

UNIT = Path("/etc/systemd/system/sidelog.service")
PID = Path("/run/sidelog-test.pid")
READY_S = 60
# The interpreter of the tests may lie where that user cannot read; to read is all that it may do beyond its rights.
READING = "-all,+dac_read_search"


def settings() -> dict[str, str]:
    """The last value of each key of the unit."""
    lines = (line.partition("=") for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")
    return {key: value for key, _, value in lines}


def start() -> None:
    """Start the service, and wait until it says that it is ready."""
    unit = settings()
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = f"/run/notify-{os.getpid()}"
    notify.bind(address)
    Path(address).chmod(0o666)
    notify.settimeout(READY_S)
    name, _, value = unit["Environment"].partition("=")
    given = {name: value, "NOTIFY_SOCKET": address, "STATE_DIRECTORY": f"/var/lib/{unit['StateDirectory']}"}
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    user = ["setpriv", f"--reuid={unit['User']}", f"--regid={unit['Group']}", f"--groups={unit['SupplementaryGroups']}"]
    with Path("/run/agent.err").open("ab") as err:
        process = subprocess.Popen(
            [*user, f"--inh-caps={READING}", f"--ambient-caps={READING}", *shlex.split(unit["ExecStart"])],
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
