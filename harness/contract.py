"""The contract between the core and plugins: what a model, a data set, a metric, a protocol must offer.

Summaries, plots and executors have theirs in `leaderboard/`, `plots/` and `executors/contract.py`.

A plugin is a class (or a factory whose return annotation is that class) with typed keyword
arguments, found through an entry point. Two rules keep planning fast:

* Importing the plugin's module and calling its constructor must be cheap: no torch, no disk scan
  beyond what the answer needs. Heavy imports and heavy work go into `load`.
* What a plugin can do is told by the methods it has: a capability is a runtime-checkable typing
  protocol, one of those below or of any package (`harness.capability`).

`harness.declared` lists everything else that the core asks, with the default where it is absent.
On every plugin: `fingerprint` goes into the cell's id (files are known by their content, which
`content_digest` and `content_digests` read once and then only where a file has been touched);
`remarks`, which splits and loaded models may have too, go into the record and stand as footnotes below
every table that shows its numbers; `smallest` options are for `harness check` and the conformance kit
(a protocol's also has `cell`, the content of a suite in which it runs for a second or two, by which
the kit finds the protocol that takes a method).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from harness.capability import capabilities as capabilities
from harness.capability import register_capability
from harness.declared import API_VERSION as API_VERSION
from harness.declared import asked
from harness.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

    from harness.errors import HarnessError
    from harness.features import FeatureCache
    from harness.parts import Part
    from harness.planning import Cell
    from harness.sharing import Owner, Shared

T = TypeVar("T")

# ---------------------------------------------------------------- data


@dataclass(frozen=True)
class EncodedImage:
    """An image still in its file's bytes; the core decodes it, and names `name` if it can't."""

    data: bytes
    name: str


class _Alone(tuple[Any, ...]):
    """A sample's only image or text as a sequence: it follows `image` or `text` where a copy replaces these."""


@dataclass(frozen=True)
class Sample:
    """One sample. An image is a PIL image, encoded bytes, or a uint8 array H×W×3 (or H×W).

    With several images or texts, `image` and `text` are the first; with one, `images` and `texts` hold
    it alone. `target` is what the split's `targets` hold for it where that is no label (`harness.targets`).
    Raises DataError where `image` or `text` is given besides and is another one than the first.
    """

    id: str
    image: Image.Image | EncodedImage | NDArray[np.uint8] | None = None
    label: int = -1
    text: str | None = None
    images: Sequence[Image.Image | EncodedImage | NDArray[np.uint8]] = ()
    texts: Sequence[str] = ()
    target: Any = None

    def __post_init__(self) -> None:
        for one, several in (("image", "images"), ("text", "texts")):
            first, given = getattr(self, one), getattr(self, several)
            if isinstance(given, _Alone) or not len(given):
                object.__setattr__(self, several, _Alone(() if first is None else (first,)))
            elif first is None:
                object.__setattr__(self, one, given[0])
            elif first is not given[0]:
                raise DataError(f"sample '{self.id}': `{one}` is not the first of `{several}`: replace both")


@runtime_checkable
class Split(Protocol):
    """A loaded part of a data set: a sequence of samples in a fixed order.

    `targets` holds what is to be predicted of each sample, N labels or what `harness.targets` says of
    the data set's other kinds of target. Optional: `class_names`, `class_keys`, `templates`,
    `label_indices`, `per_sample`, `remarks` (`harness.declared`).
    """

    ids: Sequence[str]
    targets: Any

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@runtime_checkable
class Dataset(Protocol):
    """A data set: light to construct; `load` opens one of its `splits`.

    Splits are told apart by name, see `harness.splits`. `target_kind` says what its targets are, one
    label per sample unless it says otherwise. Optional too: `label_space`, the name of the output space
    in which a supervised classifier must answer (`"imagenet-1k"`, `"cifar-10"`, …): a model of the same
    label space has its outputs in the order of the labels; and, known without loading, `class_names`,
    `class_keys`, `num_classes`, `class_order` (`harness.declared`).
    """

    splits: Sequence[str]

    def load(self, split: str) -> Split: ...


# ---------------------------------------------------------------- models


@runtime_checkable
class Model(Protocol):
    """Any model: `load` builds it and puts it on the device; called once before use."""

    def load(self, device: torch.device) -> None: ...


@dataclass(frozen=True)
class Preparation:
    """How an image becomes the network's input, as data, so that a faster path can do the same.

    Resize the shorter side to `resize` (or the whole image when it is a pair height, width),
    crop the centre to `crop`, scale to [0, 1], subtract `mean`, divide by `std` (RGB).
    """

    resize: int | tuple[int, int]
    crop: int | tuple[int, int]
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@runtime_checkable
class SeesImages(Protocol):
    """Turns a PIL image into its input, C×H×W float, exactly as its authors say.

    Optional: after `load`, `preparation`, the same as data (allows the fast mode); `collate`, which makes
    a batch of prepared samples of different sizes (by default they are stacked).
    """

    def prepare(self, image: Image.Image) -> torch.Tensor: ...


@register_capability("classifies images")
@runtime_checkable
class ClassifiesImages(SeesImages, Protocol):
    """Gives logits B×C for prepared images B×3×H×W, over the classes of its `label_space`.

    Optional attributes, known without loading: `class_names`, the names of the outputs in their order,
    by which they are found for a data set's classes; `num_classes`, how many there are. Without either
    names or a label space on both sides the order is assumed, and every number says so.
    """

    label_space: str | None

    def classify(self, images: torch.Tensor) -> torch.Tensor: ...


@register_capability("encodes images", choose="tiny-clip or open_clip")
@runtime_checkable
class EncodesImages(SeesImages, Protocol):
    """Gives one embedding per prepared image, B×D (not necessarily normalised)."""

    def encode_image(self, images: torch.Tensor) -> torch.Tensor: ...


@register_capability("encodes texts", choose="tiny-clip or open_clip")
@runtime_checkable
class EncodesTexts(Protocol):
    """Gives one embedding per text, B×D, in the space of its image embeddings.

    For zero-shot classification it also has, after `load`, `logit_scale`: the factor on cosine
    similarities, already exponentiated. Optional: `similarity`, "cosine" (the default) or "dot" for
    products of embeddings as they are; or a method `score(image_embeddings, text_embeddings)`, N×D and
    M×D to logits N×M, for a model that compares them itself (the other two are not asked then).
    """

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor: ...


@runtime_checkable
class CountsTokens(Protocol):
    """Says how long texts are to it, so that what is cut is told; optional beside encoding texts.

    `token_counts` gives for each text its tokens before cutting, start and end among them;
    `context_length` is how many of them it reads. Both are asked after `load`.
    """

    context_length: int

    def token_counts(self, texts: Sequence[str]) -> Sequence[int]: ...


@register_capability("gives image tokens")
@runtime_checkable
class GivesImageTokens(SeesImages, Protocol):
    """Gives embeddings B×E and the patches B×P×D they are made of, in one pass over B×3×H×W."""

    def encode_image_tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


@register_capability("gives text tokens")
@runtime_checkable
class GivesTextTokens(Protocol):
    """Gives embeddings B×E, tokens B×T×D and their mask B×T (true: a token is there), in one pass."""

    def encode_text_tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]: ...


@register_capability("exposes its module")
@runtime_checkable
class HasModule(Protocol):
    """Exposes its torch module, for counting, fine-tuning and fingerprints."""

    @property
    def module(self) -> torch.nn.Module: ...


# ---------------------------------------------------------------- metrics


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier said about N samples: the evidence that classification metrics read.

    `logits` N×C (natural scale: softmax gives the probabilities), `targets` N, `ids` N.
    """

    logits: NDArray[np.floating[Any]]
    targets: NDArray[np.int64]
    ids: Sequence[str]
    class_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.targets)

    def _kept(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        if name not in self.__dict__:
            object.__setattr__(self, name, make())
        kept: NDArray[Any] = self.__dict__[name]
        return kept

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits in float64, N×C."""

        def make() -> NDArray[Any]:
            import numpy as np

            shifted = self.logits.astype(np.float64)
            shifted = shifted - shifted.max(axis=1, keepdims=True)
            e = np.exp(shifted)
            return np.asarray(e / e.sum(axis=1, keepdims=True))

        return self._kept("_probabilities", make)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the largest logit (the first of equal ones), N."""
        return self._kept("_predicted", lambda: self.logits.argmax(axis=1))

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the predicted class, N."""
        return self._kept("_confidence", lambda: self.probabilities.max(axis=1))

    @staticmethod
    def concat(parts: Sequence[Predictions]) -> Predictions:
        """The predictions of several disjoint parts as one."""
        import numpy as np

        return Predictions(
            np.concatenate([p.logits for p in parts]),
            np.concatenate([p.targets for p in parts]),
            [i for p in parts for i in p.ids],
            parts[0].class_names,
        )


@runtime_checkable
class Metric(Protocol):
    """A number (or several, by name) from the evidence of the class its argument is annotated with.

    The annotation must be resolvable where the metric's module is imported (any class of a union will do,
    subclasses match); one that is imported for type checkers alone is named in `reads = (Evidence,)`.
    `higher_is_better` is its direction and `bounds` its range; `unit` is `"fraction"` for what
    tables may show in percent. A proportion of samples also names in `per_sample` a method that
    gives one value per sample, which paired tests and bootstrap intervals use. Without such values
    `proportion = True` says that the number is a share of the samples that the result counts (a metric
    of several numbers lists the keys of those that are), so that it gets Wilson's interval.
    """

    higher_is_better: bool

    def __call__(self, evidence: Any) -> float | Mapping[str, float]: ...


# ---------------------------------------------------------------- running


@dataclass
class Job:
    """Everything a protocol gets to run one cell."""

    cell: Cell
    dataset: Dataset
    model: Any
    method: Any
    metrics: Mapping[str, Metric]
    device: torch.device
    precision: str
    batch_size: int
    workers: int
    cache: FeatureCache
    workdir: Path
    """A folder of this cell's own for checkpoints; it outlives a kill and goes when the cell is done."""
    splits: Callable[[str], Split]
    """Opens a split of the cell's data set, limited as the run asks, and keeps it for other cells."""
    opening: Callable[[Part], Callable[[str], Split]]
    """Makes what `splits` is for another data set; `at` calls it."""
    loading: Callable[[Part], Any]
    """Loads a model that an option names, once for the worker; `at` calls it."""
    kept: Shared
    """Where `shared` keeps things."""
    advance: Callable[[int, int], None] = lambda done, total: None
    """Tells the progress display how many samples or steps are done of how many."""
    report: Callable[[str, int, dict[str, float]], None] = lambda name, step, values: None
    """Tells a training's values at a step to listeners and to the log folder; what should be kept goes into `curves`."""
    show: Callable[[str, int, NDArray[np.uint8]], None] = lambda name, step, pixels: None
    """Shows a picture of a training at a step, H×W×3, in the log folder and to listeners."""
    remarks: list[str] = field(default_factory=list)
    """What the record and footnotes will say of this cell; `remark` adds to it."""

    failures: dict[str, HarnessError] = field(default_factory=dict)
    """Metrics that raised or gave no number, by name: the others stand, and the cell is run again next time."""

    def remark(self, text: str) -> None:
        """Add one statement about what was assumed, left out, cut or reordered; repetitions are ignored."""
        if text not in self.remarks:
            self.remarks.append(text)

    def at(self, plugin: object) -> Job:
        """Return this job at a data set or a model that an option of the cell's plugins holds.

        It keeps its label and its identity. A data set's splits are opened as the cell's own are, limited
        alike; a model is loaded, once for the worker, and frozen. Remarks and failures are this job's.
        Raises Unavailable for one that can't be used here, HarnessError for one that no option holds.
        """
        from harness.errors import Unavailable

        part = self.cell.nested(plugin)
        if part.missing:
            raise Unavailable(f"{part.label}: {part.missing}")
        if part.kind != "models":
            there = replace(self.cell, dataset=part)
            return replace(self, cell=there, dataset=part.object, splits=self.opening(part))
        model = self.loading(part)
        for text in asked(model, "remarks") or ():
            if text not in part.remarks:  # those planning has told
                self.remark(f"{part.label}: {text}")
        return replace(self, cell=replace(self.cell, model=part), model=model)

    def shared(self, key: Hashable, make: Callable[[], T], *, of: Owner = "worker") -> T:
        """Return what `make` builds, once for all cells of this worker that ask for the same key.

        It is kept as long as the worker, or no longer than the cell's data set (with this limit) or loaded
        model: `of` says which. Keys of the two are told apart by the data set and the model of this job.
        """
        own = {
            "worker": "",
            "dataset": (self.cell.dataset.identity, self.cell.limit),
            "model": id(self.model),
        }
        return self.kept.get(of, (own[of], key), make)

    def features(
        self,
        what: str,
        split: str | None,
        compute: Callable[[], T],
        *,
        rows: NDArray[np.int64] | None = None,
        images: bool = True,
        **facts: Any,
    ) -> T:
        """Return an array, or a tree of arrays, that the model's weights decide: from the cache or computed.

        Their key holds `what` they are, the model and its weights, the data set, its split with what was
        left out or limited, the precision, how images are prepared (unless `images` is false), and all
        libraries; `rows` are added for a part of the split, and `facts` for whatever else decides. Without
        a split the data set is not in it: the arrays belong to the model alone.
        """
        from harness.features import feature_key

        return self.cache.get(feature_key(self, what, split, rows, images, facts), compute)

    def seed_for(self, *axes: object) -> int:
        """A random seed from the named axes alone, e.g. `job.seed_for("shots", 16, job.cell.seed)`."""
        from harness.seeds import derive_seed

        return derive_seed(*axes)


@dataclass
class Result:
    """What running one cell gave.

    `metrics`: name to number. `count`: how many test samples they rest on. `samples`: columns of
    equal length, `id` among them, one row per test sample. `curves`: named series, each a mapping
    of columns. `cost`: what the protocol measured (`parameters`, `trainable_parameters`,
    `samples_per_second`, …); wall time and peak memory are added by the core. `images`: uint8
    arrays H×W×3 by name. `notes`: any JSON-able facts worth keeping. `status`: `ok` or `diverged`.
    """

    metrics: Mapping[str, float]
    count: int | None = None
    samples: Mapping[str, Any] | None = None
    curves: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    status: str = "ok"
    reason: str | None = None


@runtime_checkable
class RunProtocol(Protocol):
    """How one cell is run.

    `cannot` and `assumes` are asked at planning with light objects: the cell is skipped with the reason
    of the one, the other's remarks stand below its numbers. So are `needs`, the capabilities that every
    model must have (a method may declare them too), and `target_kinds`, the kinds of target it takes.
    Metrics that read none of the evidence classes in `provides`, and typos in a table's `values` where
    `own_numbers` is stated, are refused before anything runs.

    A protocol that can run several seeds of one configuration at once (their networks stacked, say)
    also has `seeds_at_once(cell) -> int`, how many for this cell, and `run_many(jobs) -> list[Result]`
    for jobs that differ in their cell's seed alone; each result must be what `run` gives, to floating
    point. `run` stays: it serves single seeds, and all of them when `run_many` raises.
    """

    def run(self, job: Job) -> Result: ...
