"""Manual pages and completion: links in the directories where man and the shells of all users look.

A wheel brings the files to `share` of its environment, which nobody's man or shell knows; a link leads there through
`/opt/sidelog/current`, so that a change of the version changes them too.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from agent.core.errors import SidelogError
from agent.install.files import Done, point
from agent.install.layout import CURRENT
from agent.service.access import HOMES, TEMPORARY, lies_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.install.layout import Layout, Program

# Below `share`: the directory, the files, and what they are.
_KINDS = (
    ("man/man1", "sidelog*.1", "manual pages"),
    ("bash-completion/completions", "sidelog", "completion of bash"),
    ("zsh/site-functions", "_sidelog", "completion of zsh"),
    ("fish/vendor_completions.d", "sidelog.fish", "completion of fish"),
)
_SHARE = "/usr/local/share"


def link_helps(place: Layout, program: Program) -> Iterator[Done]:
    """Link what the program's environment has of them.

    Yields:
        What was done in each directory; nothing where the environment is one that others may not see.

    Raises:
        SidelogError: SL120, a place cannot be written.
    """
    environment = str(program.environment)
    if any(lies_in(environment, one) for one in (*HOMES, *TEMPORARY)):
        return
    target = f"{CURRENT if program.version_name else environment}/share"
    for directory, pattern, what in _KINDS:
        folder = f"{_SHARE}/{directory}"
        verbs = []
        for file in sorted(place.at(f"{environment}/share/{directory}").glob(pattern)):
            link = f"{folder}/{file.name}"
            try:
                verbs.append(point(place, link, f"{target}/{directory}/{file.name}").verb)
            except SidelogError as error:
                if not place.at(link).exists():
                    raise
                yield Done("kept", link, error.message)  # somebody's own
        if verbs:
            is_new = "linked" in verbs
            yield Done("linked" if is_new else "kept", folder, what if is_new else "")


def linked_helps(place: Layout, environments: tuple[str, ...]) -> Iterator[Path]:
    """The links that lead into one of these directories; there may be nothing any more."""
    for directory, pattern, _ in _KINDS:
        folder = place.at(f"{_SHARE}/{directory}")
        for link in sorted(folder.iterdir()) if folder.is_dir() else ():  # glob() may leave out links that lead nowhere
            if (
                fnmatch.fnmatch(link.name, pattern)
                and link.is_symlink()
                and str(link.readlink()).startswith(environments)
            ):
                yield link
