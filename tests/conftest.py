"""What all tests share: the draws of property tests, effort counted instead of timed, and Ray without tokens.

Property tests draw the same examples every time; HYPOTHESIS_PROFILE=explore draws new ones.
"""

import gc
import os
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

# how long an example takes hangs on what else the machine does, and is no property of the code
UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("repeatable", derandomize=True, **UNTIMED)
settings.register_profile("explore", print_blob=True, **UNTIMED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Ray reads this once in a process: clusters of several tests could not be joined in turn otherwise
os.environ["RAY_AUTH_MODE"] = "disabled"


@pytest.fixture
def effort() -> Callable[[Callable[[], object]], int]:
    """How many calls an action makes: the same on every machine, however busy, as no time is."""

    def count(action: Callable[[], object]) -> int:
        calls = 0

        def seen(_frame: FrameType, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        gc.disable()  # finalizers of what other tests left are not the action's calls
        before = sys.getprofile()
        sys.setprofile(seen)
        try:
            action()
        finally:
            sys.setprofile(before)
            gc.enable()
        return calls

    return count
