"""A plugin-based benchmark harness for vision and vision-language models.

The public API: everything named in `__all__` here, and `harness.testing`. Names are imported when
they are first used, so that `import harness` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import load, plan, run, table
    from harness.contract import (
        API_VERSION,
        ClassifiesImages,
        Dataset,
        EncodedImage,
        EncodesImages,
        EncodesTexts,
        HasModule,
        Job,
        Metric,
        Model,
        Predictions,
        Preparation,
        Result,
        RunProtocol,
        Sample,
        SeesImages,
        Split,
    )
    from harness.errors import DataError, Diverged, HarnessError, OptionError, Unavailable
    from harness.hooks import hookimpl
    from harness.registry import register
    from harness.seeds import derive_seed

_HOMES = {
    "harness.api": ("load", "plan", "run", "table"),
    "harness.contract": (
        "API_VERSION",
        "ClassifiesImages",
        "Dataset",
        "EncodedImage",
        "EncodesImages",
        "EncodesTexts",
        "HasModule",
        "Job",
        "Metric",
        "Model",
        "Predictions",
        "Preparation",
        "Result",
        "RunProtocol",
        "Sample",
        "SeesImages",
        "Split",
    ),
    "harness.errors": ("DataError", "Diverged", "HarnessError", "OptionError", "Unavailable"),
    "harness.hooks": ("hookimpl",),
    "harness.registry": ("register",),
    "harness.seeds": ("derive_seed",),
}

__all__ = [
    "API_VERSION",
    "ClassifiesImages",
    "DataError",
    "Dataset",
    "Diverged",
    "EncodedImage",
    "EncodesImages",
    "EncodesTexts",
    "HarnessError",
    "HasModule",
    "Job",
    "Metric",
    "Model",
    "OptionError",
    "Predictions",
    "Preparation",
    "Result",
    "RunProtocol",
    "Sample",
    "SeesImages",
    "Split",
    "Unavailable",
    "derive_seed",
    "hookimpl",
    "load",
    "plan",
    "register",
    "run",
    "table",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'harness' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
