"""Boxes that serve."""

from __future__ import annotations

import pytest

from tests.http.served import ServedBox


@pytest.fixture
def box(tmp_path):
    """A box of the test's own; its agent ends with the test."""
    made = ServedBox(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A running agent with some events, for a module's tests that change nothing."""
    from tests.http.samples import write_samples

    made = ServedBox(tmp_path_factory.mktemp("served"))
    count = write_samples(made)
    made.serve()
    made.stored(count)
    yield made
    made.end()


@pytest.fixture(scope="module")
def chromium():
    """A browser for a module's tests."""
    from tests.http.browser import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(chromium, box):  # the box ends after the pages that ask it
    """Opens pages of any box: `tests.http.browser.Visits`."""
    from tests.http.browser import Visits

    made = Visits(chromium)
    yield made
    made.close()


@pytest.fixture
def page(visit, served):
    """A page of an operator of the module's box, 1440 by 900 pixels."""
    return visit(served)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A running agent whose shop has a broken release (`tests.http.release`), for a module's tests."""
    from tests.http.release import serve_release

    made = ServedBox(tmp_path_factory.mktemp("release"))
    yield serve_release(made)
    made.end()


@pytest.fixture(scope="module")
def served_box(tmp_path_factory):
    """A box for all tests of a module, who write and start what they want."""
    made = ServedBox(tmp_path_factory.mktemp("served"))
    yield made
    made.end()
