import pytest

from tests.integration.archiving import QuickBox
from tests.integration.harness import Box


@pytest.fixture
def box(tmp_path):
    """A scratch directory with at most one agent, which is gone afterwards."""
    box = Box(tmp_path)
    yield box
    box.kill()


@pytest.fixture
def quick_box(tmp_path, capfdbinary, monkeypatch):
    """The same with the commands for archives in this process."""
    box = QuickBox(tmp_path, capfdbinary, monkeypatch)
    yield box
    box.kill()
