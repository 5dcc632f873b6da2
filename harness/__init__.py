"""A plugin-based benchmark harness for vision and vision-language models.

The public API: everything named in `__all__` here and in `harness.testing`, and nothing else; README.md
tells what that promises. Names are imported when they are first used, so that `import harness` costs
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import homes_of, importer

if TYPE_CHECKING:
    from harness.api import load as load
    from harness.api import plan as plan
    from harness.api import run as run
    from harness.api import table as table
    from harness.batches import forward_all as forward_all
    from harness.capability import capabilities as capabilities
    from harness.capability import has as has
    from harness.capability import register_capability as register_capability
    from harness.cell import Cell as Cell
    from harness.content import content_digest as content_digest
    from harness.content import content_digests as content_digests
    from harness.contract import ClassifiesImages as ClassifiesImages
    from harness.contract import CountsTokens as CountsTokens
    from harness.contract import Dataset as Dataset
    from harness.contract import EncodedImage as EncodedImage
    from harness.contract import EncodesImages as EncodesImages
    from harness.contract import EncodesTexts as EncodesTexts
    from harness.contract import GivesImageTokens as GivesImageTokens
    from harness.contract import GivesTextTokens as GivesTextTokens
    from harness.contract import HasModule as HasModule
    from harness.contract import Job as Job
    from harness.contract import Metric as Metric
    from harness.contract import Model as Model
    from harness.contract import Predictions as Predictions
    from harness.contract import Preparation as Preparation
    from harness.contract import Result as Result
    from harness.contract import RunProtocol as RunProtocol
    from harness.contract import Sample as Sample
    from harness.contract import SeesImages as SeesImages
    from harness.contract import Split as Split
    from harness.declared import API_VERSION as API_VERSION
    from harness.errors import DataError as DataError
    from harness.errors import Diverged as Diverged
    from harness.errors import HarnessError as HarnessError
    from harness.errors import OptionError as OptionError
    from harness.errors import PluginBroken as PluginBroken
    from harness.errors import PluginNotFound as PluginNotFound
    from harness.errors import StoreError as StoreError
    from harness.errors import SuiteError as SuiteError
    from harness.errors import Unavailable as Unavailable
    from harness.errors import did_you_mean as did_you_mean
    from harness.evaluate import align_logits as align_logits
    from harness.evaluate import classification_result as classification_result
    from harness.evaluate import image_pipeline as image_pipeline
    from harness.evaluate import measured as measured
    from harness.evaluate import outputs as outputs
    from harness.evaluate import to_split_classes as to_split_classes
    from harness.features import FeatureCache as FeatureCache
    from harness.hooks import Events as Events
    from harness.hooks import hookimpl as hookimpl
    from harness.images import decode as decode
    from harness.leaderboard.table import Table as Table
    from harness.paths import cache_dir as cache_dir
    from harness.planning import Plan as Plan
    from harness.record import Record as Record
    from harness.redaction import redacted as redacted
    from harness.registry import register as register
    from harness.runner import Run as Run
    from harness.seeds import derive_seed as derive_seed
    from harness.splits import find_test_split as find_test_split
    from harness.splits import training_split as training_split
    from harness.splits import validation_split as validation_split
    from harness.store import Store as Store
    from harness.suite import Suite as Suite
    from harness.targets import TARGET_KINDS as TARGET_KINDS
    from harness.targets import Answers as Answers
    from harness.targets import Boxes as Boxes
    from harness.targets import Masks as Masks
    from harness.weights import digest as digest
    from harness.weights import load_weights as load_weights
    from harness.weights import read_weights as read_weights
    from harness.zeroshot import text_classifier as text_classifier

_HOMES = homes_of(__name__)
__all__ = sorted(_HOMES)
__getattr__ = importer(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
