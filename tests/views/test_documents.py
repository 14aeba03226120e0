"""A document may be asked for by any face, also by a server in the middle of other work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent import views

MODULES = sorted(Path(views.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_no_view_prints_waits_or_speaks_sql(module):
    text = module.read_text()
    assert not re.search(r"\bclick\b|\bprint\(|\bsleep\(|\bSELECT\b|<html", text)


def test_no_view_needs_the_command_line():
    names = [f"agent.views.{module.stem}".removesuffix(".__init__") for module in MODULES]
    code = f"import sys\nimport {', '.join(names)}\n"
    code += "print([name for name in sys.modules if name == 'click' or name.startswith('agent.cli')])\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "[]\n"
