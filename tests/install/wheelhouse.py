"""The libraries that the tests run with, as the wheels that they came from: pip, pipx and uv need no server then."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NO_FILE_OF_A_WHEEL = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")


def make_wheels(folder: Path) -> Path:
    """Fill a folder with the wheel of this checkout, and with those of what it takes to run and to be built.

    Returns:
        The wheel of this checkout.
    """
    folder.mkdir()
    for name in sorted(_needed("sidelog", "hatchling", "pip") - {"sidelog"}):
        _pack(metadata.distribution(name), folder)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, capture_output=True, check=True, timeout=100)
    [wheel] = folder.glob("sidelog-*.whl")
    return wheel


def offline(folder: Path) -> dict[str, str]:
    """The environment variables with which pip and uv take from the folder alone."""
    return {
        "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_OFFLINE": "1", "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(folder),
        "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never",
    }  # fmt: skip


def _needed(*names: str) -> set[str]:
    """These distributions and all that they require, without extras."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for line in metadata.requires(name) or []:
            requirement, _, marker = line.partition(";")
            if "extra" not in marker and _is_here(wanted := re.match(r"[\w.-]+", requirement)[0]):
                waiting.append(wanted)
    return found


def _is_here(name: str) -> bool:
    """Of what only another system or another Python needs, there is nothing."""
    return any(metadata.distributions(name=name))


def _pack(installed: metadata.Distribution, folder: Path) -> None:
    """Put the files of a distribution back into a wheel (the binary distribution format of PyPA)."""
    tags = [tag.split("-") for tag in re.findall(r"^Tag: (\S+)$", installed.read_text("WHEEL"), re.MULTILINE)]
    tag = "-".join(".".join(dict.fromkeys(words)) for words in zip(*tags, strict=True))
    name = re.sub(r"[-_.]+", "_", installed.name).lower()
    rows = []
    with zipfile.ZipFile(folder / f"{name}-{installed.version}-{tag}.whl", "w", zipfile.ZIP_STORED) as wheel:
        for file in installed.files:
            if file.parts[0] == ".." or file.suffix == ".pyc" or file.name in _NO_FILE_OF_A_WHEEL:
                continue  # what an installation adds
            content = file.locate().read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            wheel.writestr(str(file), content)
            rows.append((str(file), f"sha256={digest}", len(content)))
        record = next(str(file) for file in installed.files if file.name == "RECORD")
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
        wheel.writestr(record, text.getvalue())
