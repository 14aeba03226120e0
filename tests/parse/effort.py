"""How many examples hypothesis tries: as given, fifty times as many with HYPOTHESIS_PROFILE=soak."""

import os

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"


def examples(usual: int) -> int:
    """The number of examples of a test that usually tries `usual`."""
    return usual * 50 if SOAK else usual
