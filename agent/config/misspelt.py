"""Variables of the environment that look like sidelog's own and are none, so that they would be ignored in silence."""

from __future__ import annotations

import difflib
import typing
from typing import TYPE_CHECKING

import msgspec

from agent.config.schema import Config
from agent.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX = "SIDELOG_"
_CONFIG = "CONFIG"  # the file
_OF_HOOKS = ("RULE", "STATE", "SEVERITY", "VALUE", "THRESHOLD", "KEY", "DELIVERY_ID")  # `sidelog query` in a hook
_OTHER_WORDS = {
    "CONFIG_FILE": _CONFIG, "CONFIG_PATH": _CONFIG, "CONFIGURATION": _CONFIG,
    "STORE_FILE": "STORE__PATH", "STORE_DIR": "STORE__PATH", "DATABASE": "STORE__PATH", "DB": "STORE__PATH",
}  # fmt: skip
_NEAR = 0.8  # of difflib's ratio: SIDELOG_PORT, which an orchestrator sets, is no slip of SIDELOG_STORE


def misspelt(environ: Mapping[str, str]) -> Iterator[ConfigError]:
    """SL103 for each variable that is near to one that counts: a level without its second underscore, or a slip.

    Args:
        environ: all variables; those with `__` and whole sections are values of the configuration and checked as such.
    """
    odd = [name for name in sorted(environ) if _is_odd(name)]
    if not odd:
        return
    sections = {field.encode_name.upper(): field.encode_name.upper() for field in msgspec.structs.fields(Config)}
    known = {_CONFIG: _CONFIG} | sections | {path.replace("__", "_"): path for path in _paths(Config)} | _OTHER_WORDS
    for name in odd:
        after = name.removeprefix(_PREFIX)
        if after in sections:
            continue
        if after == name:  # another spelling of the prefix
            near = [one for one in known if _folded(_PREFIX + one) == _folded(name)]
        else:
            near = [after] if after in known else difflib.get_close_matches(after, known, n=1, cutoff=_NEAR)
        if near:
            yield ConfigError.of("SL103.variable", name, near=_PREFIX + known[near[0]])


def _is_odd(name: str) -> bool:
    """Whether a variable seems to be meant for sidelog, and is none that counts or that a hook has."""
    if not name.startswith(_PREFIX):
        return _folded(name).startswith(_folded(_PREFIX))
    after = name.removeprefix(_PREFIX)
    return "__" not in after and after not in (_CONFIG, *_OF_HOOKS)


def _folded(name: str) -> str:
    return name.upper().replace("_", "")


def _paths(struct: type, above: str = "") -> Iterator[str]:
    """The keys below a struct as variables have them; without those in lists and mappings, which have other names."""
    hints = typing.get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        path = above + field.encode_name.upper()
        inner = [part for part in (hints[field.name], *typing.get_args(hints[field.name])) if _is_section(part)]
        if above:
            yield path
        for part in inner:
            yield from _paths(part, f"{path}__")


def _is_section(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)
