"""For all tests."""

import os
import signal

import pytest
import structlog

# A shell without job control starts what it puts in the background with Ctrl-C ignored, and so would be every process
# that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _unmeasured_processes(request, monkeypatch):
    """Processes that a test starts count for coverage only where it is marked with `measured`."""
    if request.node.get_closest_marker("measured") is None:
        for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS")]:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _log_as_at_the_start():
    """A command that ran in this process has set how much is logged, and to which stderr."""
    yield
    structlog.reset_defaults()
