"""A plugin-based benchmark harness for vision and vision-language models.

The public API is what `__all__` here and in `harness.testing` names, and nothing else; README.md says
what that promises. Names are imported on first use, so `import harness` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import homes_of, importer

if TYPE_CHECKING:
    from harness.api.checking import selftest as selftest
    from harness.api.plugins import check as check
    from harness.api.plugins import doctor as doctor
    from harness.api.plugins import info as info
    from harness.api.plugins import list_plugins as list_plugins
    from harness.api.records import export as export
    from harness.api.records import import_results as import_results
    from harness.api.records import load as load
    from harness.api.records import merge as merge
    from harness.api.results import compare as compare
    from harness.api.results import plots as plots
    from harness.api.results import report as report
    from harness.api.results import table as table
    from harness.api.running import plan as plan
    from harness.api.running import run as run
    from harness.comparing.judged import JudgedComparison as JudgedComparison
    from harness.contract.capability import capabilities as capabilities
    from harness.contract.capability import has as has
    from harness.contract.capability import register_capability as register_capability
    from harness.contract.cells import Cell as Cell
    from harness.contract.data import Dataset as Dataset
    from harness.contract.data import EncodedImage as EncodedImage
    from harness.contract.data import Sample as Sample
    from harness.contract.data import Split as Split
    from harness.contract.declared import API_VERSION as API_VERSION
    from harness.contract.evidence import Metric as Metric
    from harness.contract.evidence import Predictions as Predictions
    from harness.contract.models import ClassifiesImages as ClassifiesImages
    from harness.contract.models import CountsTokens as CountsTokens
    from harness.contract.models import EncodesImages as EncodesImages
    from harness.contract.models import EncodesTexts as EncodesTexts
    from harness.contract.models import GivesImageTokens as GivesImageTokens
    from harness.contract.models import GivesTextTokens as GivesTextTokens
    from harness.contract.models import HasModule as HasModule
    from harness.contract.models import Model as Model
    from harness.contract.models import Preparation as Preparation
    from harness.contract.models import SeesImages as SeesImages
    from harness.contract.running import Job as Job
    from harness.contract.running import Result as Result
    from harness.contract.running import RunProtocol as RunProtocol
    from harness.contract.seeds import derive_seed as derive_seed
    from harness.contract.targets import TARGET_KINDS as TARGET_KINDS
    from harness.contract.targets import Answers as Answers
    from harness.contract.targets import Boxes as Boxes
    from harness.contract.targets import Masks as Masks
    from harness.discovery.content import content_digest as content_digest
    from harness.discovery.content import content_digests as content_digests
    from harness.discovery.functions import listener as listener
    from harness.discovery.functions import metric as metric
    from harness.discovery.functions import summary as summary
    from harness.discovery.registry import register as register
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
    from harness.exchange.contract import ImportedPart as ImportedPart
    from harness.exchange.contract import ImportedResult as ImportedResult
    from harness.exchange.contract import UnreadRow as UnreadRow
    from harness.exchange.importing import Imported as Imported
    from harness.exchange.merging import MergeResult as MergeResult
    from harness.exchange.predictions_contract import ImportedPredictions as ImportedPredictions
    from harness.inference.batches import forward_all as forward_all
    from harness.inference.evaluate import align_logits as align_logits
    from harness.inference.evaluate import classification_result as classification_result
    from harness.inference.evaluate import compute_metrics as compute_metrics
    from harness.inference.evaluate import image_pipeline as image_pipeline
    from harness.inference.evaluate import outputs as outputs
    from harness.inference.evaluate import to_split_classes as to_split_classes
    from harness.inference.features import FeatureCache as FeatureCache
    from harness.inference.images import decode as decode
    from harness.inference.splits import find_test_split as find_test_split
    from harness.inference.splits import training_split as training_split
    from harness.inference.splits import validation_split as validation_split
    from harness.inference.weights import digest as digest
    from harness.inference.weights import load_weights as load_weights
    from harness.inference.weights import read_weights as read_weights
    from harness.inference.zeroshot import text_classifier as text_classifier
    from harness.leaderboard.table import Table as Table
    from harness.planning.plan import Plan as Plan
    from harness.planning.suite import Suite as Suite
    from harness.plotting.figures import Figures as Figures
    from harness.records.paths import cache_dir as cache_dir
    from harness.records.record import Record as Record
    from harness.records.redaction import redact as redact
    from harness.records.store import Store as Store
    from harness.running.hooks import Events as Events
    from harness.running.hooks import hookimpl as hookimpl
    from harness.running.outcome import Run as Run
    from harness.selftesting.rows import SelfTest as SelfTest
    from harness.testing.plugin_verdicts import PluginVerdict as PluginVerdict

_HOMES = homes_of(__name__)
__all__ = sorted(_HOMES)
__getattr__ = importer(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
