"""Each planted fault is found by the check that is meant for it, with what was expected and why; sound plugins pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from harness import Predictions
from harness.discovery import registry
from harness.testing import check, general
from harness.testing.kinds import checks_in, find_kind_checks, make_kind_subject
from harness.testing.verdicts import NotChecked, Violation, readable_name

RANKED = Predictions(np.array([[2.0, 1.0], [2.0, 1.0]]), np.array([0, 1]), ["a", "b"])

# kind, class, name of the check, what its message says
FAULTS = [
    ("models", "ForgotEval", "deterministic", "evaluation mode after load.*found training mode"),
    ("models", "NoisyOutput", "deterministic", "the same for the same images"),
    ("models", "BatchMean", "batch independence", "the same row alone and in a batch.*batch size would decide"),
    ("models", "FlatOutput", "shapes", "one row per image"),
    ("models", "Doubles", "dtypes", "floating point.*found torch.float64"),
    ("models", "GivesNan", "dtypes", "finite numbers; found NaN"),
    ("models", "NeedsThreeChannels", "odd images", "an image of mode"),
    ("models", "LongSideFree", "odd images", "very wide.*stacked"),
    ("models", "WrongPreparation", "preparation", "say what `prepare` does"),
    ("models", "TextsInDoubles", "dtypes", "encode_text to return floating point.*found torch.float64"),
    ("models", "PatchesOfTheBatch", "image tokens", "the same patches alone and in a batch"),
    ("models", "OtherBeside", "image tokens", "beside the patches what encode_image returns"),
    ("models", "PaddedTokens", "text tokens", "the same embedding and tokens alone and among others"),
    ("models", "NumbersAsMask", "text tokens", "a boolean mask.*found torch.float32"),
    ("models", "PaddedTexts", "texts", "alone and among others.*longest name"),
    ("models", "OtherSpace", "texts", "embeddings of one dimension"),
    ("models", "LogScale", "texts", "already exponentiated.*found -1.2"),
    ("models", "Misspelt", "capabilities", "clasify.*meant 'classify'"),
    ("models", "ShowsLate", "capabilities", "before the model is loaded.*'classifies images' only after load"),
    ("models", "ManyShapes", "shapes", "tensors of one shape for images of any size"),
    ("models", "OtherSimilarity", "similarity", "'cosine' or 'dot'.*found 'euclidean'"),
    ("models", "ScoresTurned", "similarity", "finite logits \\d+×\\d+; found"),
    ("models", "TooManyNames", "label space", "as there are outputs, 4; found 5"),
    ("models", "Nameless", "label space", "name what the outputs mean"),
    ("models", "SeedsGlobally", "load", "random generator of torch"),
    ("models", "DrawsFromNumpy", "load", "random generator of NumPy"),
    ("models", "DrawsFromPython", "load", "random generator of Python"),
    ("models", "OtherWeights", "load", "the same weights at every load"),
    ("models", "HiddenState", "save and load", "neither a parameter nor a buffer"),
    ("models", "Decoy", "module is used", "a network that is not used"),
    ("models", "StaysBehind", "devices", "register it as a buffer"),
    ("datasets", "Endless", "length", "IndexError past its last sample"),
    ("datasets", "AnySplit", "splits", "no-such-split.*found an answer"),
    ("datasets", "RaisesKeyError", "splits", "DataError.*found KeyError"),
    ("datasets", "TooFewLabels", "length", "as many as ids and targets.*11"),
    ("datasets", "OtherLabels", "samples", "the id and label that the split lists"),
    ("datasets", "SameIds", "ids", "'0/0' more than once"),
    ("datasets", "LabelTooHigh", "labels", "inside its class list, 0 to 2; found 3"),
    ("datasets", "NamesAsArray", "labels", "to be a list or a tuple; found ndarray"),
    ("datasets", "NamesAsText", "labels", "to be a list or a tuple; found str"),
    ("datasets", "OtherNamesAtPlanning", "labels", "names its classes before it is loaded"),
    ("datasets", "UndeclaredBoxes", "labels", "whole numbers, as its target_kind 'label' says; found object.*state"),
    ("datasets", "UndeclaredSets", "labels", "of N whole numbers.*shape \\(12, 3\\)"),
    ("datasets", "OneLabelAsSet", "labels", "of N×C whole numbers.*shape \\(12,\\)"),
    ("datasets", "OtherTargets", "samples", "to have the `target` that the split lists"),
    ("datasets", "UnknownKind", "targets", "DataError: .*target_kind is 'box'.*'boxes'"),
    ("datasets", "BoxesAsArray", "targets", "kind 'boxes' .a harness.Boxes.; found ndarray"),
    ("datasets", "WidthAndHeight", "targets", "right > left.*found \\[5.0, 5.0, 3.0, 3.0"),
    ("datasets", "OutsideTheImage", "targets", "inside the image of 8×8 pixels.*5.0, 9.0"),
    ("datasets", "WholeNumbers", "targets", "`boxes` an array M×4 of floats.*found int64"),
    ("datasets", "BoxLabelTooHigh", "targets", "inside the class list, 0 to 2.; found 3"),
    ("datasets", "BoxWithoutLabel", "targets", "`labels` an array 1 of whole numbers"),
    ("datasets", "CrowdAsNumbers", "targets", "`crowd` an array 1 of bools"),
    ("datasets", "MaskMissing", "targets", "`masks` a sequence of 1, as many as boxes"),
    ("datasets", "MaskOfOtherSize", "targets", "height and width, \\[8, 8\\].; found \\[8, 9\\]"),
    ("datasets", "MaskAsArray", "targets", "a mapping of `size` and `counts`"),
    ("datasets", "MaskAsText", "targets", "`counts`, which are bytes"),
    ("datasets", "OtherSize", "targets", "an array 8×8 of whole numbers, as large as the image.*8, 7"),
    ("datasets", "ClassTooHigh", "targets", "inside the class list, 0 to 2.; found 7"),
    ("datasets", "NeitherMask", "targets", "either `semantic` or `instances`.; found none"),
    ("datasets", "MasksAsNumbers", "targets", "`instances` an array M×8×8 of bools"),
    ("datasets", "TextAsCaptions", "targets", "captions to be a sequence of texts.; found str"),
    ("datasets", "NoCaption", "targets", "at least one caption"),
    ("datasets", "EmptyCaption", "targets", "texts that are not empty"),
    ("datasets", "RightBeyond", "targets", "among 2 choices.; found choice 2"),
    ("datasets", "NothingKnown", "targets", "a reference answer, or which choice is right"),
    ("datasets", "ToldAnyway", "targets", "kind 'none' .−1."),
    ("datasets", "NoPlaceForTheName", "labels", "place {} for the class name"),
    ("datasets", "Shuffles", "order", "opened a second time"),
    ("datasets", "SetOrder", "processes", "the same ids in split 'train' in another process"),
    ("datasets", "HashedFingerprint", "processes", "in every process.*every cell would run again"),
    ("datasets", "OneHandle", "order", "when several threads read them"),
    ("datasets", "HoldsAFunction", "worker", "to pickle and to be read in a worker"),
    ("datasets", "Leaks", "disjoint", "share no sample.*trained on would be tested on"),
    ("datasets", "Heavy", "light import", "imports no torch.*found that it imports torch"),
    ("datasets", "Untyped", "typed options", "a type for every option.*count"),
    ("datasets", "Restless", "planning", "the same text each time"),
    ("datasets", "OneText", "remarks", "a list of texts.*found '2 files"),
    ("metrics", "Undocumented", "documented", "a docstring on Undocumented"),
    ("metrics", "FromTheFuture", "api version", "from 1 to 1; found 99"),
    ("metrics", "ErrorAsAccuracy", "direction", "the direction is declared the other way round"),
    ("metrics", "Constant", "direction", "measures nothing"),
    ("metrics", "Percent", "range", "percent instead of a fraction"),
    ("metrics", "WrongFormula", "known values", "0.5 for example 0; found 0.333"),
    ("metrics", "FirstHalf", "order invariance", "in another order"),
    ("metrics", "RelativeToBatch", "merging", "whatever stands beside it"),
    ("metrics", "OtherMean", "merging", "the mean of per_sample to be the metric's value"),
    ("metrics", "OtherResamples", "resampling", "where all samples count equally"),
    ("metrics", "Counts", "purity", "the same value for the same evidence again"),
    ("metrics", "SortsInPlace", "purity", "ValueError: .*read-only"),
    ("metrics", "DividesByNothing", "odd evidence", "for no samples; found nan"),
    ("metrics", "Traceback", "odd evidence", "for no samples; found IndexError"),
    ("hooks", "UnknownEvent", "events", "cell_ended"),
    ("hooks", "UnknownArgument", "events", "result"),
    ("hooks", "Unmarked", "events", "marked with @harness.hookimpl"),
    ("hooks", "ExpectsMetrics", "runs", "KeyError: 'top1'.*left out"),
    ("summaries", "NoValueColumn", "shows", "no 'value' among"),
    ("summaries", "StrangeUnit", "shows", "found 'percent'"),
    ("summaries", "FailsOnNothing", "shows", "found IndexError"),
    ("summaries", "ChangesRecords", "leaves the records", "as they were; found changed"),
    ("summaries", "FirstRecord", "order of records", "in another order"),
    ("plots", "DrawsNothing", "shows", "found 0 axes"),
    ("plots", "OpensFigures", "leaves the records", "pyplot's figures"),
    ("executors", "LosesCells", "executes", "each of 3 cells once; found 2"),
    ("executors", "TellsNobody", "executes", "cell_started.*found 0 for 3"),
    ("executors", "SwapsRecords", "executes", "its own record"),
    ("importers", "NoDirections", "reads", "directions.top1: expected whether larger is better"),
    ("importers", "NewSeeds", "reads", "the same results when the file is read again.*found 1 new"),
    ("importers", "KnowsNotItsOwn", "recognises", "`recognise` to return True for its example; found False"),
    ("importers", "KnowsAll", "recognises", "`recognise` to return False for an empty file; found True"),
    ("importers", "Crashes", "refuses", "for an empty file; found JSONDecodeError"),
    ("importers", "NamesNoFile", "refuses", "starts with the file's path"),
    ("protocols", "ForgetsTheGenerator", "continues after a kill", "after a kill at step.*random generators"),
    ("protocols", "OwnSeed", "same seed", "the same result from the same seed"),
    ("protocols", "Swallows", "continues after a kill", "catch Exception, never BaseException"),
    ("protocols", "EndsInNan", "runs", "metrics, all of them finite; found end"),
    ("protocols", "BeyondTheEnd", "runs", r"done from 0 to total; found \(7, 6\)"),
    ("protocols", "CannotRaises", "cannot", "found AttributeError.*would count as broken"),
    ("protocols", "NeedsWords", "declarations", "`needs` to be a sequence of capabilities; found TypeError"),
    ("protocols", "UnknownTargets", "declarations", "`target_kinds` to be some of label, .*found .'box'"),
    ("protocols", "AxesAsText", "declarations", "a sequence of names; found 'shots'"),
    ("protocols", "SeedsMixed", "seeds at once", "seed 1 to give the same beside another"),
    ("protocols", "TrainsTheModel", "leaves the model", "found other weights.*the same loaded model"),
    ("protocols", "LeavesAHook", "leaves the model", "found other hooks"),
    ("protocols", "WarmsOthers", "warm", "what `run` asks for .*lengths.*for nothing"),
    ("protocols", "WarmRaises", "warm", "raise nothing; found AttributeError"),
    ("protocols", "WarmDecides", "warm", "the same numbers after `warm` as without it; found end"),
    ("protocols", "WarmWrites", "warm", "nothing besides the feature cache; found warm.json"),
    ("methods", "GlobalNoise", "same seed", "the same result from the same seed"),
    ("methods", "Remembers", "continues after a kill", "after a kill at step"),
    ("methods", "Trains", "leaves the model", "found other weights"),
    ("methods", "Stranger", "runs", "protocol that takes the method.*few-shot: .*gan: "),
]  # fmt: skip
SOUND = {
    "models": "Net",
    "datasets": "Squares",
    "metrics": "Accuracy",
    "hooks": "Quiet",
    "summaries": "Best",
    "plots": "Dots",
    "executors": "OneByOne",
    "importers": "Scores",
    "protocols": "Training",
    "methods": "Walk",
}


@pytest.fixture(autouse=True, scope="module")
def installed() -> Any:
    """The sound plugins by name, for grids."""
    with (
        registry.register_temporarily("datasets", "kit-squares", planted("Squares")),
        registry.register_temporarily("models", "kit-net", planted("Net")),
        registry.register_temporarily("protocols", "kit-training", planted("Training")),
    ):
        yield


def planted(name: str) -> Any:
    """A class of the folder of planted faults."""
    from importlib import import_module

    for module in (
        "faulty_models",
        "faulty_data",
        "faulty_metrics",
        "faulty_shows",
        "faulty_runs",
        "faulty_heavy",
        "faulty_targets",
    ):
        if hasattr(import_module(module), name):
            return getattr(import_module(module), name)
    raise LookupError(name)


def made(name: str) -> Any:
    return planted(name)()


def more(kind: str, plugin: Any) -> Mapping[str, Any]:
    grid = {"datasets": ["kit-squares"], "models": ["kit-net"]}
    if kind == "metrics":
        known = not hasattr(type(plugin), "bounds") or type(plugin).__name__ in ("Accuracy", "WrongFormula")
        return {"examples": [(RANKED, 0.5)] if known else []}
    if kind == "protocols":
        return {"cell": grid}
    if kind == "executors":
        return {"cell": {**grid, "protocol": "kit-training"}}
    if kind == "methods" and type(plugin).__name__ != "Stranger":
        return {"cell": {**grid, "protocol": "kit-training"}}
    return {}


@pytest.mark.parametrize(("kind", "name", "wanted", "message"), FAULTS, ids=[f[1] for f in FAULTS])
def test_fault_is_found(kind: str, name: str, wanted: str, message: str) -> None:
    np.random.rand()  # noqa: NPY002  # within its block of 624 numbers one more draw moves a counter only
    plugin = made(name)
    (one,) = (c for c in find_kind_checks(kind) if readable_name(c) == wanted)
    with pytest.raises(Violation) as found:
        one(make_kind_subject(kind, plugin, more(kind, plugin)))
    text = str(found.value)
    assert re.search(message, text, re.DOTALL), text
    assert re.fullmatch(r"expected .+; found .+\. [A-Z`].+", text, re.DOTALL), text


@pytest.mark.parametrize("kind", SOUND)
def test_sound_plugin_passes(kind: str) -> None:
    plugin = made(SOUND[kind])
    findings = check(kind, plugin, **more(kind, plugin))
    assert not [f for f in findings if f.status == "fails"], findings
    assert sum(f.status == "holds" for f in findings) > len(findings) / 2


def test_a_protocol_that_computes_ahead_passes() -> None:
    plugin = made("Embeds")
    findings = {f.check: f for f in check("protocols", plugin, **more("protocols", plugin))}
    assert not [f for f in findings.values() if f.status == "fails"], findings
    assert findings["warm"].status == "holds"


@pytest.mark.parametrize(
    "name", ["Sets", "Boxed", "Segmented", "Instances", "Captioned", "Answered", "Untold"]
)
def test_sound_data_set_of_every_kind_passes(name: str) -> None:
    findings = {f.check: f for f in check("datasets", made(name))}
    assert not [f for f in findings.values() if f.status == "fails"], findings
    assert name == "Sets" or findings["targets"].status == "holds"


def test_a_model_may_score_itself_and_count_its_outputs() -> None:
    findings = check("models", made("ScoresItself"))
    assert not [f for f in findings if f.status == "fails"], findings


@pytest.mark.parametrize("name", ["Patches", "Tokens"])
def test_sound_model_that_gives_tokens_alone_passes(name: str) -> None:
    findings = {f.check: f for f in check("models", made(name)) if f.check != "capabilities"}
    assert not [f for f in findings.values() if f.status == "fails"], findings
    assert findings["image tokens" if name == "Patches" else "text tokens"].status == "holds"


def test_a_summary_may_have_rows_without_a_number() -> None:
    findings = check("summaries", made("WithoutNumbers"))
    assert not [f for f in findings if f.status == "fails"], findings


def test_every_check_has_a_fault_that_it_finds() -> None:
    planted = {(kind, wanted) for kind, _, wanted, _ in FAULTS}
    shared = {readable_name(c) for c in checks_in(general)}
    for kind in SOUND:
        own = {readable_name(c) for c in find_kind_checks(kind)} - shared
        if kind == "methods":  # the same function as for protocols
            own -= {"runs"}
        missing = {c for c in own if (kind, c) not in planted}
        assert not missing, f"{kind}: {missing}"
    assert shared <= {wanted for _, wanted in planted}


def test_not_checked_is_no_fault() -> None:
    (one,) = (c for c in find_kind_checks("datasets") if readable_name(c) == "disjoint")
    single = made("Squares")
    single.splits = ("train",)
    with pytest.raises(NotChecked, match="only one split"):
        one(make_kind_subject("datasets", single, {}))
