"""Puts the SBOM into the wheel, where PEP 770 wants it: `sidelog-VERSION.dist-info/sboms/sidelog.cdx.json`."""

# ruff: noqa: INP001  (loaded by hatchling from its path)

from __future__ import annotations

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SbomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Writes it into a temporary directory for the time of the build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the build."""
        if version == "editable":
            return
        place = Path(self.root) / "etc/sbom.py"
        spec = importlib.util.spec_from_file_location("sbom", place)
        assert spec is not None
        assert spec.loader is not None
        sbom = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sbom)
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "sidelog.cdx.json"
        file.write_text(json.dumps(sbom.locked_document(), indent=2) + "\n", "utf-8")
        build_data["sbom_files"].append(str(file))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """After the build."""
        del build_data, artifact_path
        if version != "editable":
            self._folder.cleanup()
