"""The command line as a function, as tests of the commands have it."""

from tests.cli.conftest import sidelog

__all__ = ["sidelog"]
