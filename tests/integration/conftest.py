import pytest

from tests.integration.harness import Box


@pytest.fixture
def box(tmp_path):
    """A scratch directory with at most one agent, which is gone afterwards."""
    box = Box(tmp_path)
    yield box
    box.kill()
