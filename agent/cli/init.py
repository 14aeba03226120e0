"""`sidelog init`: a commented configuration, and with `--system` what a service needs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from agent.cli.common import PATH, Command, current, output_options, safe_text
from agent.core.errors import SidelogError, UsageError

UNIT_PROGRAM = "/usr/local/bin/sidelog"  # as the unit file has it
STORE_LINE = "  path: /var/lib/sidelog/sidelog.db\n"  # of the service; a user's own store has its default place
INVISIBLE = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - ProtectHome and PrivateTmp of the unit
NEXT_STEPS = """\
next:
  systemd-sysusers && systemd-tmpfiles --create sidelog.conf
  {editor} {config}            # name your logs under `include`
  sudo -u sidelog {program} check -c {config}
  systemctl daemon-reload && systemctl enable --now sidelog
"""


@click.command(cls=Command, short_help="Write a commented configuration, or install the service.")
@click.option("--system", is_flag=True, help="Install configuration, unit, user and folders of the service.")
@click.option("--force", is_flag=True, help="Replace what is there; the old file is kept as FILE.old.")
@click.option("--root", type=PATH, metavar="DIR", help="With --system: install below DIR.")
@click.argument("file", required=False, type=PATH)
@output_options
def command(file: Path | None, root: Path | None, *, system: bool, force: bool) -> None:
    """Write a configuration with every key explained to FILE (default: sidelog.yaml).

    Nothing is overwritten. With --system: /etc/sidelog/sidelog.yaml, the systemd unit, its user and its folders.
    """
    if system:
        if file is not None:
            raise UsageError.of("SL501.file", file)
        _install_service(root or Path("/"), force=force)
        return
    if root is not None:
        raise UsageError.of("SL501.root", "--root")
    target = file or Path("sidelog.yaml")
    if not write(target, configuration(system=os.geteuid() == 0), force=force):
        raise SidelogError.of("SL120.exists", target)
    if current().verbosity >= 0:
        click.echo(f"wrote {safe_text(str(target))}; name your logs under `include`, then run: sidelog check", err=True)


def _install_service(root: Path, *, force: bool) -> None:
    program = this_program()
    files = {
        "etc/sidelog/sidelog.yaml": configuration(system=True),
        "etc/systemd/system/sidelog.service": shared("systemd/sidelog.service").replace(
            UNIT_PROGRAM, unit_words(program)
        ),
        "etc/sysusers.d/sidelog.conf": shared("systemd/sidelog.sysusers.conf"),
        "etc/tmpfiles.d/sidelog.conf": shared("systemd/sidelog.tmpfiles.conf"),
    }
    for name, text in files.items():
        target = root / name
        state = "wrote" if write(target, text, force=force) else "kept"
        if current().verbosity >= 0:
            click.echo(f"{state} {safe_text(str(target))}", err=True)
    if program[0].startswith(INVISIBLE):
        click.echo(
            f"warning: the service cannot see {safe_text(program[0])}: install sidelog outside of home directories, "
            "for example in /opt/sidelog",
            err=True,
        )
    if current().verbosity >= 0:
        words = {"editor": os.environ.get("EDITOR", "nano"), "config": "/etc/sidelog/sidelog.yaml"}
        click.echo(NEXT_STEPS.format(program=" ".join(program), **words), err=True, nl=False)


def write(target: Path, text: str, *, force: bool) -> bool:
    """Write a new file of mode 0644, with its directories; the old one stays, with `force` as FILE.old.

    Returns:
        False when there is a file and it was left alone.

    Raises:
        SidelogError: SL120, the place cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if force and target.exists() and target.read_bytes() != text.encode():
            target.rename(target.with_name(f"{target.name}.old"))
        with target.open("x", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
    except OSError as error:
        if isinstance(error, FileExistsError) and error.filename == str(target):
            return False
        raise SidelogError.of("SL120", target, why=error) from None
    return True


def configuration(*, system: bool) -> str:
    """The commented configuration; for a user without the store's place of the service."""
    text = shared("etc/sidelog.yaml")
    return text if system else text.replace(STORE_LINE, STORE_LINE.replace("path:", "#path:"))


def shared(name: str) -> str:
    """A text file that comes with the program: below `agent/_share` when installed, else of the source tree."""
    package = Path(__file__).parent.parent
    candidates = (package / "_share" / name, package.parent / name)
    return next(file for file in candidates if file.is_file()).read_text(encoding="utf-8")


def this_program() -> list[str]:
    """The words that start this sidelog again: the installed command, or Python with the package."""
    called = Path(sys.argv[0]).absolute()
    if called.name == "sidelog" and os.access(called, os.X_OK):
        return [str(called)]
    found = shutil.which("sidelog", path=str(Path(sys.executable).parent)) or shutil.which("sidelog")
    return [found] if found else [sys.executable, "-m", "agent"]


def unit_words(words: list[str]) -> str:
    """Words as a unit file wants them, quoted, `%` doubled (systemd.service(5), "Command lines")."""
    escaped = [word.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"') for word in words]
    return " ".join(f'"{word}"' if set(word) & set(' "\t\\') else word for word in escaped)
