"""A configuration in a directory of its own, loaded without this machine's environment."""

from __future__ import annotations

import pytest

from agent.config import InvalidConfigError, load

GOOD = "sources:\n  - name: app\n    include: [/var/log/app/*.log]\n"


class Workshop:
    """Writes configuration files and loads them."""

    def __init__(self, path):
        self.path = path
        self.file = path / "sidelog.yaml"

    def write(self, text, name="sidelog.yaml"):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def load(self, text=None, *, name="sidelog.yaml", sets=(), store=None, **environ):
        file = self.path / name if text is None else self.write(text, name)
        return load(file, store=store, overrides=list(sets), environ={"HOME": "/home/ann", **environ})

    def findings(self, text=None, **settings):
        """(code, message without the file's name, hint) of everything that is wrong."""
        with pytest.raises(InvalidConfigError) as caught:
            self.load(text, **settings)
        prefix = f"{self.path}/"
        return [(one.code, one.message.replace(prefix, ""), one.hint) for one in caught.value.findings]


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)
