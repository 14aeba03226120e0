import pytest

from tests.crash.rig import Zygote


@pytest.fixture(scope="module")
def zygote():
    """Where agents are forked from."""
    with Zygote() as zygote:
        yield zygote
