"""What the commands and processes of these tests run counts for coverage: most of forwarding runs in them alone."""

import pytest

MEASURED = ("test_backfill", "test_claim", "test_forwarding", "test_same_rows", "test_verify")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "fleet" and item.path.stem in MEASURED:
            item.add_marker(pytest.mark.measured)
