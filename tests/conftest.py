"""Property tests draw the same examples every time; HYPOTHESIS_PROFILE=explore draws new ones."""

import os

from hypothesis import HealthCheck, settings

# how long an example takes hangs on what else the machine does, and is no property of the code
UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("repeatable", derandomize=True, **UNTIMED)
settings.register_profile("explore", print_blob=True, **UNTIMED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
