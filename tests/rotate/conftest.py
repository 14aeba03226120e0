import pytest

from tests.rotate.making import Scene


@pytest.fixture
def scene(tmp_path):
    """Logs and a store that knows them."""
    scene = Scene(tmp_path)
    yield scene
    scene.close()
