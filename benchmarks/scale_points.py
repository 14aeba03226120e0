"""What `benchmarks.scale` collects, and what its parts share."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks import common

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(slots=True)
class Cost:
    """A cost at several sizes. `target`: the size that it is asked for; `floor`: what is beside it, in words."""

    name: str
    of: str
    unit: str
    target: int
    points: dict[int, float] = field(default_factory=dict)
    floor: str = ""

    @property
    def is_of_one(self) -> bool:
        """Whether it is the cost of one event or archive, whatever number there is."""
        return "per event" in self.name or "one, CPU" in self.name


class Costs:
    """Costs of one thing, by name, in the order in which they came.

    Args:
        of: what the sizes count, such as `files`.
        target: the size that is asked for.
    """

    def __init__(self, of: str, target: int) -> None:
        self._of, self._target = of, target
        self._found: dict[str, Cost] = {}
        self.floors: dict[str, str] = defaultdict(str)

    def add(self, size: int, name: str, value: float, unit: str) -> None:
        """Note what something costs at a size."""
        cost = self._found.setdefault(name, Cost(name, self._of, unit, self._target))
        cost.points[size] = value

    def all(self) -> list[Cost]:
        """Each with its floor."""
        for name, cost in self._found.items():
            cost.floor = self.floors[name]
        return list(self._found.values())


def configured(folder: Path, document: dict[str, Any]) -> Path:
    """A configuration with a store in the folder that keeps all that comes."""
    store = {"path": str(folder / "s.db"), "min_free": "1MiB", "retention": {"age": "3650d", "size": "1TiB"}}
    path = folder / "c.json"
    path.write_text(json.dumps({"store": store, **document}))
    return path


def cheapest(folder: Path, arguments: Sequence[str | Path], repeat: int = 3) -> common.Usage:
    """The run of a command that took the least CPU time; what else runs on the machine only adds to it."""
    runs = [common.run([common.sidelog(), *arguments], cwd=folder, check=False) for _ in range(repeat)]
    return min(runs, key=lambda usage: usage.cpu_seconds)
