"""A directory in the place of a machine's `/`, and the program that lies in it."""

from __future__ import annotations

from pathlib import Path

from agent.install import layout
from agent.install.layout import Layout, Program
from agent.install.system import install

HELPS = (
    *("man/man1/sidelog.1", "man/man1/sidelog-query.1", "bash-completion/completions/sidelog"),
    *("zsh/site-functions/_sidelog", "fish/vendor_completions.d/sidelog.fish"),
)  # of a wheel, below `share`


def empty_machine(root: Path) -> Layout:
    """With root and the group adm, and nothing of sidelog."""
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nadm:x:4:\n")
    return Layout(root)


def version(place: Layout, name: str) -> Program:
    """A version of the program, installed beside others; its python is that of the tests."""
    folder = place.at(f"/opt/sidelog/{name}")
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "pyvenv.cfg").touch()
    for helps in HELPS:
        file = folder / "share" / helps
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(folder.name)
    return Program([f"/opt/sidelog/{name}/bin/sidelog"], Path(f"/opt/sidelog/{name}"))


def installed(place: Layout, program: Program, *, force: bool = False) -> dict[str, str]:
    """Install; what was done to which place."""
    return {done.place: done.verb for done in install(place, program, force=force)}


def logs_at(place: Layout, *paths: str, mode: int = 0o644) -> None:
    """Empty log files."""
    for path in paths:
        file = place.at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        file.chmod(mode)


UNIT = layout.UNIT.removeprefix("/")
