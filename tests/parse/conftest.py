"""A soak run may take its time."""

import pytest

from tests.parse.effort import SOAK


def pytest_collection_modifyitems(items):
    if SOAK:
        for item in items:
            item.add_marker(pytest.mark.timeout(3600))
