"""For all tests."""

import os
import signal

import hypothesis
import pytest
import structlog

from tests import needs

pytest_plugins = ["tests.fleet.fixtures"]

# No example has a time that it may take, which other programs of the machine would decide on. The profile of CI, which
# hypothesis loads by itself, has none either.
hypothesis.settings.register_profile("anywhere", deadline=None)
if not os.environ.get("CI"):
    hypothesis.settings.load_profile("anywhere")

# A shell without job control starts what it puts in the background with Ctrl-C ignored, and so would be every process
# that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A user's PATH lacks the system's programs.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *needs.SBIN])


def pytest_addoption(parser):
    parser.addoption("--pictures", action="store_true", help="make the pictures of docs/img anew")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    needs.look_for(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    needs.accounted(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    needs.accounted(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    yield
    for line in needs.summary(terminalreporter.stats):
        terminalreporter.write_line(line)


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
