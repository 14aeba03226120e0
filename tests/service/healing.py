"""A service that is not ready, healed by `sidelog check --fix`, and run: `unshare --mount python healing.py`.

The unit is the one that comes along, its user is nobody, and its sandbox of files is made for real (`enacting.py`).
What was found before and after goes to stdout as JSON.
"""

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNIT = Path("/srv/units/sidelog.service")
CONFIG = Path("/srv/conf/sidelog.json")
STATE = Path("/var/lib/sidelog")
LINE = '{"level": "error", "message": "no stock"}\n'
LOGS = ("/home/ann/app", "/tmp/shop", "/srv/my logs", "/var/log/web", "/var/log/closed")
ROTATED = tuple(f"{place}/app.log.1" for place in LOGS)
MOST_ROUNDS = 4
GROUP = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
PRIVATE = ("/srv", "/home", "/opt", "/tmp", "/var/log", "/var/lib")


def run(*command, code=0):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=90, check=False)
    if code is not None and done.returncode != code:
        sys.exit(f"{command}: {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
    return done


def install_program():
    """The interpreter of the tests and its packages, where any user may read them; as an installation in /opt."""
    for name, source in (("python", sys.base_prefix), ("packages", Path(sys.prefix, *PACKAGES)), ("tree", ROOT)):
        Path("/opt", name).mkdir()
        run("mount", "--rbind", source, f"/opt/{name}")
    python = f"/opt/python/bin/{Path(os.path.realpath(sys.executable)).name}"
    environment = "PYTHONHOME=/opt/python PYTHONPATH=/opt/tree:/opt/packages LD_LIBRARY_PATH=/opt/python/lib"
    write("/opt/sidelog", f'#!/bin/sh\n{environment} exec {python} -m agent "$@"\n', 0o755)


PACKAGES = ("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")


def write(path, text, mode=0o644):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def set_up():
    for place in PRIVATE:
        run("mount", "-t", "tmpfs", "-o", "mode=1777" if place == "/tmp" else "mode=755", "tmpfs", place)
    install_program()
    text = (ROOT / "systemd/sidelog.service").read_text()
    for old, new in (
        ("User=sidelog", "User=nobody"),
        ("Group=sidelog", f"Group={GROUP}"),
        ("SupplementaryGroups=adm", ""),
        ("ExecStart=/usr/local/bin/sidelog", f"ExecStart=/opt/sidelog -c {CONFIG}"),
    ):
        assert f"\n{old}" in text, old
        text = text.replace(f"\n{old}", f"\n{new}")
    write(UNIT, text)
    STATE.mkdir(mode=0o700)
    shutil.chown(STATE, "nobody", GROUP)
    for place in LOGS:
        write(f"{place}/app.log", LINE)
        write(f"{place}/app.log.1", LINE * 3)
    Path("/srv/my logs").chmod(0o700)
    Path("/var/log/web").chmod(0o770)
    shutil.chown("/var/log/web", "root", "adm")
    shutil.chown("/home/ann/app", "root", GROUP)
    for name in ("app.log", "app.log.1"):
        Path("/var/log/closed", name).chmod(0o600)
    write("/srv/hooks/page.sh", f"#!/bin/sh\ncat > {STATE}/page.json\n")
    document = {
        "store": {"min_free": "1MiB", "path": str(STATE / "sidelog.db"), "retention": {"size": "1MiB"}},
        "sources": [{"name": f"s{i}", "include": [f"{place}/*.log"]} for i, place in enumerate(LOGS)],
        "archive": {"directory": "/srv/archives/sidelog", "quiet": "0s"},
        "alerts": [{"name": "errors", "match": "severity>=error", "when": {"count": 1}, "hooks": ["page", "chat"]}],
        "hooks": {"page": {"exec": ["/srv/hooks/page.sh"]}, "chat": {"webhook": "https://192.0.2.7/x", "retries": 0}},
    }
    write(CONFIG, json.dumps(document))


def checked(*arguments, code):
    said = run("/opt/sidelog", "check", "--unit", UNIT, "-c", CONFIG, *arguments, code=code).stdout
    return json.loads(said) if "--json" in arguments else said


def agent():
    """What becomes of `run --once` as the unit's user in the unit's sandbox."""
    enacting = Path(__file__).with_name("enacting.py")
    done = run(sys.executable, enacting, UNIT, "nobody", "/opt/sidelog", "run", "--once", "-c", CONFIG, code=None)
    statement = "SELECT source, count(*) AS lines FROM logs GROUP BY 1"
    stored = run("/opt/sidelog", "sql", "--json", "-c", CONFIG, statement, code=None).stdout
    return {
        "code": done.returncode,
        "stored": {row["source"]: row["lines"] for row in json.loads(stored or "[]")},
        "archives": len(list(Path("/srv/archives").rglob("*.zst"))),
        "rotated": [path for path in map(Path, ROTATED) if path.exists()] != [],
        "paged": (STATE / "page.json").exists(),
        "said": sorted(
            {one["code"] for one in map(json.loads, filter(is_json, done.stderr.splitlines())) if "code" in one}
        ),
    }


def is_json(line):
    return line.startswith("{")


def main():
    set_up()
    found = [one for one in checked("--json", code=1)["findings"] if one["level"] == "error"]
    report = {"codes": sorted({one["code"] for one in found}), "before": agent(), "rounds": 0}
    while "# nothing to heal" not in (script := checked("--fix", code=None)):  # what is opened may hide something else
        report["rounds"] += 1
        run("sh", "-eu", "-c", script.replace("systemctl", "true"))
        if report["rounds"] > MOST_ROUNDS:
            break
    report |= {"ok": checked("--json", code=None)["ok"], "after": agent()}
    sys.stdout.write(json.dumps(report))


main()
