"""A plugin-based benchmark harness for vision and vision-language models.

The public API: everything named in `__all__` here and in `harness.testing`, and nothing else; README.md
tells what that promises. Names are imported when they are first used, so that `import harness` costs
nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import load, plan, run, table
    from harness.batches import forward_all
    from harness.capability import has, register_capability
    from harness.cell import Cell
    from harness.content import content_digest, content_digests
    from harness.contract import (
        ClassifiesImages,
        CountsTokens,
        Dataset,
        EncodedImage,
        EncodesImages,
        EncodesTexts,
        GivesImageTokens,
        GivesTextTokens,
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
        capabilities,
    )
    from harness.declared import API_VERSION
    from harness.errors import (
        DataError,
        Diverged,
        HarnessError,
        OptionError,
        PluginBroken,
        PluginNotFound,
        StoreError,
        SuiteError,
        Unavailable,
        did_you_mean,
    )
    from harness.evaluate import (
        align_logits,
        classification_result,
        image_pipeline,
        measured,
        outputs,
        to_split_classes,
    )
    from harness.features import FeatureCache
    from harness.hooks import Events, hookimpl
    from harness.images import decode
    from harness.leaderboard.table import Table
    from harness.paths import cache_dir
    from harness.planning import Plan
    from harness.record import Record
    from harness.redaction import redacted
    from harness.registry import register
    from harness.runner import Run
    from harness.seeds import derive_seed
    from harness.splits import find_test_split, training_split, validation_split
    from harness.store import Store
    from harness.suite import Suite
    from harness.targets import TARGET_KINDS, Answers, Boxes, Masks
    from harness.weights import digest, load_weights, read_weights
    from harness.zeroshot import text_classifier

_HOMES = {
    "harness.api": (
        "load",
        "plan",
        "run",
        "table",
    ),
    "harness.batches": ("forward_all",),
    "harness.capability": ("has", "register_capability"),
    "harness.cell": ("Cell",),
    "harness.contract": (
        "ClassifiesImages",
        "CountsTokens",
        "Dataset",
        "EncodedImage",
        "EncodesImages",
        "EncodesTexts",
        "GivesImageTokens",
        "GivesTextTokens",
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
        "capabilities",
    ),
    "harness.declared": ("API_VERSION",),
    "harness.content": (
        "content_digest",
        "content_digests",
    ),
    "harness.errors": (
        "DataError",
        "Diverged",
        "HarnessError",
        "OptionError",
        "PluginBroken",
        "PluginNotFound",
        "StoreError",
        "SuiteError",
        "Unavailable",
        "did_you_mean",
    ),
    "harness.evaluate": (
        "align_logits",
        "classification_result",
        "image_pipeline",
        "measured",
        "outputs",
        "to_split_classes",
    ),
    "harness.features": ("FeatureCache",),
    "harness.hooks": (
        "Events",
        "hookimpl",
    ),
    "harness.images": ("decode",),
    "harness.leaderboard.table": ("Table",),
    "harness.paths": ("cache_dir",),
    "harness.planning": ("Plan",),
    "harness.record": ("Record",),
    "harness.redaction": ("redacted",),
    "harness.registry": ("register",),
    "harness.runner": ("Run",),
    "harness.seeds": ("derive_seed",),
    "harness.splits": ("find_test_split", "training_split", "validation_split"),
    "harness.store": ("Store",),
    "harness.suite": ("Suite",),
    "harness.targets": ("TARGET_KINDS", "Answers", "Boxes", "Masks"),
    "harness.weights": (
        "digest",
        "load_weights",
        "read_weights",
    ),
    "harness.zeroshot": ("text_classifier",),
}

__all__ = [
    "API_VERSION",
    "TARGET_KINDS",
    "Answers",
    "Boxes",
    "Cell",
    "ClassifiesImages",
    "CountsTokens",
    "DataError",
    "Dataset",
    "Diverged",
    "EncodedImage",
    "EncodesImages",
    "EncodesTexts",
    "Events",
    "FeatureCache",
    "GivesImageTokens",
    "GivesTextTokens",
    "HarnessError",
    "HasModule",
    "Job",
    "Masks",
    "Metric",
    "Model",
    "OptionError",
    "Plan",
    "PluginBroken",
    "PluginNotFound",
    "Predictions",
    "Preparation",
    "Record",
    "Result",
    "Run",
    "RunProtocol",
    "Sample",
    "SeesImages",
    "Split",
    "Store",
    "StoreError",
    "Suite",
    "SuiteError",
    "Table",
    "Unavailable",
    "align_logits",
    "cache_dir",
    "capabilities",
    "classification_result",
    "content_digest",
    "content_digests",
    "decode",
    "derive_seed",
    "did_you_mean",
    "digest",
    "find_test_split",
    "forward_all",
    "has",
    "hookimpl",
    "image_pipeline",
    "load",
    "load_weights",
    "measured",
    "outputs",
    "plan",
    "read_weights",
    "redacted",
    "register",
    "register_capability",
    "run",
    "table",
    "text_classifier",
    "to_split_classes",
    "training_split",
    "validation_split",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'harness' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
