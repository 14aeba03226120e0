"""A YAML loader with the scalars of YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema).

Only its composer is used: nodes, never objects.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import yaml

_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
)


@functools.cache
def loader_class() -> Any:
    """The loader, libyaml's where PyYAML was built with it (10 times as fast)."""
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class CoreLoader(base):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the name is PyYAML's

    for name, pattern, first in _SCALARS:
        CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(rf"^(?:{pattern})$"), list(first))
    CoreLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])
    return CoreLoader
