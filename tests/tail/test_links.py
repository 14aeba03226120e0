"""Resolving links step by step: the same as the system's own way, and all that decides it is noted."""

import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.tail.links import LinkResolver, existing

names = st.sampled_from(["a", "b", "c", "d"])
parts = st.lists(st.one_of(names, st.sampled_from(["..", "."])), min_size=1, max_size=4).map("/".join)
trees = st.lists(st.tuples(parts, st.sampled_from(["directory", "file", "link", "absolute"]), parts), max_size=12)


def build(root: Path, tree) -> None:
    """As much of the tree as can be made."""
    for path, kind, target in tree:
        place = root / path
        try:
            if kind == "directory":
                place.mkdir(parents=True)
            elif kind == "file":
                place.touch()
            else:
                place.symlink_to(target if kind == "link" else root / target)
            place.stat()
        except OSError:  # there already, nowhere, or a loop, of which everybody has his own idea
            if place.is_symlink() and not has_end(place):
                place.unlink()


def has_end(link: Path) -> bool:
    try:
        link.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@given(trees, st.lists(parts, min_size=1, max_size=5))
def test_paths_lead_where_the_system_says(tree, paths):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.path.realpath(folder))
        build(root, tree)
        links = LinkResolver()
        for path in paths:
            whole = f"{root}/{path}"
            try:
                wanted = os.path.realpath(whole, strict=True)
            except FileNotFoundError:
                wanted = os.path.realpath(whole)
            except OSError:  # a file on the way that is no directory
                continue
            assert links.real(whole) == wanted
        for directory, name in links.names:
            assert os.path.realpath(directory) == directory
            assert Path(directory, name).is_symlink()


def test_every_link_on_the_way_is_noted(tmp_path):
    root = Path(os.path.realpath(tmp_path))
    (root / "x" / "y").mkdir(parents=True)
    (root / "x" / "y" / "log").touch()
    (root / "current").symlink_to("x")
    (root / "x" / "middle").symlink_to("../current/y/log")
    (root / "first").symlink_to("current/middle")
    links = LinkResolver()
    assert links.lead(str(root / "first")) == str(root / "x" / "y" / "log")
    noted = {(str(root), "first"), (str(root), "current"), (str(root / "x"), "middle"), (str(root / "x" / "y"), "log")}
    assert links.names == noted


def test_a_loop_ends(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert LinkResolver().lead(str(tmp_path / "a")).startswith(str(tmp_path))


def test_the_nearest_directory_that_there_is(tmp_path):
    assert existing(str(tmp_path / "a" / "b" / "c")) == (str(tmp_path), "a")
    assert existing("/nowhere/at/all") == ("/", "nowhere")
