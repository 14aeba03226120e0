import pytest

from tests.store.stores import store_at


@pytest.fixture
def path(tmp_path):
    """Where a store can be made."""
    return tmp_path / "state" / "sidelog.db"


@pytest.fixture
def opened(path):
    """A new store, open for writing."""
    with store_at(path) as found:
        yield found
