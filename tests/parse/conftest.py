"""How many examples hypothesis tries: HYPOTHESIS_PROFILE=soak for many."""

import os

from hypothesis import settings

settings.register_profile("usual", max_examples=100, deadline=None)
settings.register_profile("soak", max_examples=20_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))
