"""`sidelog` and `python -m agent`."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line of this process and end it with the command's exit code.

    Imports make many objects and little garbage: looking for it at their beginning and at the end of the process took
    a tenth of the time of a short command.
    """
    gc.set_threshold(50_000, 20, 50)
    from agent.cli.main import run_command_line  # noqa: PLC0415 - after the line above

    code = run_command_line(sys.argv[1:])
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
