"""Runs command lines as another user: `python reading.py UID GID GROUP [[ARGUMENT, …], …]`, and prints what they said.

All are run twice. The first time, by root and unseen, brings all modules that they need: the other user may not be able
to read the interpreter of the tests. `{run}` in an argument is the number of the time.
"""

import contextlib
import importlib
import io
import json
import os
import pkgutil
import sqlite3
import sys

import agent.query
from agent.cli.main import run_command_line
from agent.core import catalogue


def command(arguments):
    """A command line of sidelog, or `sqlite STORE STATEMENT`: its exit code, and what it prints."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = by_sqlite(*arguments[1:], out) if arguments[0] == "sqlite" else run_command_line(arguments)
    for stream in (out, err):
        stream.flush()
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()


def by_sqlite(store, statement, out):
    try:
        with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            out.write(str(connection.execute(statement).fetchone()[0]))
    except sqlite3.Error:
        return 1
    return 0


def become(uid, gid, group):
    os.setgroups([group])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def main():
    uid, gid, group, commands = map(json.loads, sys.argv[1:5])
    if sys.argv[5:] == ["follow"]:  # it does not end, and so is not run before
        command([word for word in commands[0] if word != "-f"])
        for module in pkgutil.walk_packages(agent.query.__path__, "agent.query."):
            importlib.import_module(module.name)
        become(uid, gid, group)
        sys.exit(run_command_line(commands[0]))
    catalogue.load()
    for one in commands:
        command([word.replace("{run}", "1") for word in one])
    become(uid, gid, group)
    sys.stdout.write(json.dumps([command([word.replace("{run}", "2") for word in one]) for one in commands]))


main()
