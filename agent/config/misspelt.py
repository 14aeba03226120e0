"""Variables of the environment that look like sidelog's own and are none, so that they would be ignored in silence."""

from __future__ import annotations

import difflib
import typing
from typing import TYPE_CHECKING

import msgspec

from agent.config.schema import Config
from agent.core.errors import ConfigError
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX = "SIDELOG_"
_CONFIG = "CONFIG"  # the file
_OF_HOOKS = ("RULE", "STATE", "SEVERITY", "VALUE", "THRESHOLD", "KEY", "DELIVERY_ID")  # `sidelog query` in a hook
# Kubernetes and Docker's links, for a service of that name: SIDELOG_PORT_9880_TCP_ADDR, SIDELOG_WEB_SERVICE_HOST.
_ORCHESTRATED = lazy(r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_\w+)?)?)|NAME|ENV_\w+")
_NEAR = 0.8  # of difflib's ratio: SIDELOG_PORT, which an orchestrator sets, is no slip of SIDELOG_STORE


def misspelt(environ: Mapping[str, str], *, strangers: bool = False) -> Iterator[ConfigError]:
    """SL103 for each variable that is near to one that counts: a level without its second underscore, or a slip.

    Args:
        environ: all variables; those with `__` and whole sections are values of the configuration and checked as such.
        strangers: also those that are near to none, but for what orchestrators set for a service named sidelog.
    """
    names = [name.removeprefix(_PREFIX) for name in sorted(environ) if name.startswith(_PREFIX)]
    odd = [name for name in names if "__" not in name and name not in (_CONFIG, *_OF_HOOKS)]
    if not odd:
        return
    sections = {field.encode_name.upper(): field.encode_name.upper() for field in msgspec.structs.fields(Config)}
    known = {_CONFIG: _CONFIG} | sections | {path.replace("__", "_"): path for path in _paths(Config)}
    for name in odd:
        if name in sections:
            continue
        near = [name] if name in known else difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
        if near:
            yield ConfigError.of("SL103.variable", _PREFIX + name, near=_PREFIX + known[near[0]])
        elif strangers and not _ORCHESTRATED.fullmatch(name):
            yield ConfigError.of("SL103.stranger", _PREFIX + name)


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
