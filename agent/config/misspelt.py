"""Variables of the environment that look like sidelog's own and are none, so that they would be ignored in silence."""

from __future__ import annotations

import difflib
import re
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
_ENGINE = "ENGINE_PASSWORD"  # of an address on the command line: `clickhouse.address.PASSWORD`
_OF_HOOKS = ("RULE", "STATE", "SEVERITY", "VALUE", "THRESHOLD", "KEY", "DELIVERY_ID")  # `sidelog query` in a hook
# Kubernetes and Docker's links, for a service of that name: SIDELOG_PORT_9880_TCP_ADDR, SIDELOG_WEB_SERVICE_HOST.
_ORCHESTRATED = lazy(r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_\w+)?)?)|NAME|ENV_\w+")
_OTHER_WORDS = dict.fromkeys(("STORE_FILE", "STORE_DIR", "DATABASE", "DB"), "STORE__PATH")
_NEAR = 0.8  # of difflib's ratio: SIDELOG_PORT, which an orchestrator sets, is no slip of SIDELOG_STORE
_STEPS = {list: ("#", r"(\d+)"), dict: ("*", "(.+)")}  # the mark of a place and of a name, and what may stand there


def misspelt(environ: Mapping[str, str], *, strangers: bool = False) -> Iterator[ConfigError]:
    """SL103 for each variable that is near to one that counts: a level without its second underscore, or a slip.

    Args:
        environ: all variables; those with `__` and whole sections are values of the configuration and checked as such.
        strangers: also those that are near to none, but for what orchestrators set for a service named sidelog.
    """
    names = sorted(name for name in environ if name[:2].upper() == _PREFIX[:2])
    if not names:
        return
    sections = [field.encode_name.upper() for field in msgspec.structs.fields(Config)]
    paths = [_CONFIG, *sections, *_paths(Config)]
    for name in names:
        near = _meant(name.removeprefix(_PREFIX), paths) if name.startswith(_PREFIX) else _other_prefix(name, paths)
        if near and _PREFIX + near != name:
            yield ConfigError.of("SL103.variable", name, near=_PREFIX + near)
        elif strangers and near is None and _is_strange(name, sections):
            yield ConfigError.of("SL103.stranger", name)


def _is_strange(name: str, sections: list[str]) -> bool:
    """Whether a variable means nothing to sidelog, nor to what orchestrators set."""
    rest = name.removeprefix(_PREFIX)
    known = "__" in rest or rest in (_CONFIG, _ENGINE, *sections, *_OF_HOOKS)
    return name.startswith(_PREFIX) and not known and not _ORCHESTRATED.fullmatch(rest)


def _meant(name: str, paths: list[str]) -> str | None:
    """What a name behind the prefix was to be; None where it counts as it is, or is nothing of sidelog's."""
    if "__" in name or name in (_CONFIG, _ENGINE, *_OF_HOOKS):
        return None
    if name.startswith(_CONFIG):  # CONFIG_FILE, CONFIGURATION
        return _CONFIG
    if name in _OTHER_WORDS:
        return _OTHER_WORDS[name]
    for path in paths:
        if found := re.fullmatch(_pattern(path), name):
            return _filled(path, found.groups())
    plain = {path.replace("__", "_"): path for path in paths if path == _filled(path, ())}
    return next((plain[near] for near in difflib.get_close_matches(name, plain, n=1, cutoff=_NEAR)), None)


def _other_prefix(name: str, paths: list[str]) -> str | None:
    """The same for a variable with another prefix: `sidelog_store__path`, SIDELG_CONFIG, SIDE_LOG_CONFIG."""
    name = name.upper()
    for at in (match.start() for match in re.finditer("_", name)):
        prefix, rest = name[:at].replace("_", ""), name[at + 1 :]
        if difflib.SequenceMatcher(None, prefix, _PREFIX[:-1]).ratio() > _NEAR:
            for path in paths:
                if re.fullmatch(_pattern(path, "__"), rest):
                    return rest
    return None


def _pattern(path: str, between: str = "_") -> str:
    """What a variable of this path looks like with these underscores between its levels."""
    patterns = dict(_STEPS.values())
    return between.join(patterns.get(step, step) for step in path.split("__"))


def _filled(path: str, given: tuple[str, ...]) -> str:
    """The path with the places and names that were given."""
    rest = iter(given)
    marks = dict(_STEPS.values())
    return "__".join(next(rest, "") if step in marks else step for step in path.split("__"))


def _paths(struct: type, above: str = "") -> Iterator[str]:
    """The keys below a struct as variables have them, with a mark for each place in a list and each name."""
    hints = typing.get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        path = above + field.encode_name.upper()
        if above:
            yield path
        for inner, step in _sections(hints[field.name]):
            yield from _paths(inner, f"{path}__{step}")


def _sections(hint: typing.Any, step: str = "") -> Iterator[tuple[type, str]]:
    origin = typing.get_origin(hint)
    if origin is None:
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield hint, step
        return
    inner = f"{_STEPS[origin][0]}__" if origin in _STEPS else step
    for argument in typing.get_args(hint):
        yield from _sections(argument, inner)
