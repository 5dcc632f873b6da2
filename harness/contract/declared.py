"""Everything the core asks of a plugin beyond its protocol's methods, each with its default and meaning."""

from __future__ import annotations

from typing import Any, NamedTuple

API_VERSION = 1
"""Version of the contract; a plugin may state the one it was written for as `harness_api`."""


class DeclaredName(NamedTuple):
    """One optional attribute or method: whose it is, its default if absent, and what it means."""

    of: str
    name: str
    default: Any
    meaning: str


_ROWS: tuple[tuple[str, str, Any, str], ...] = (
    ("any plugin", "harness_api", API_VERSION, "version of the contract that it is written for"),
    ("any plugin", "unavailable", None, "method: why it can't be used on this machine and what to do, or None"),
    ("any plugin", "fingerprint", None, "method: text of what decides its results besides its options"),
    ("any plugin", "operational", (), "options that decide no result (address, time-outs, budgets): left out of cells' ids"),
    ("any plugin", "remarks", None, "what it assumed, left out, cut or reordered, a short statement each"),
    ("any plugin", "tags", {}, "its own facts to lay out tables by"),
    ("any plugin", "smallest", None, "options of the smallest sensible one, for the checks; a protocol's also hold `cell`"),
    ("any plugin", "plugin_kind", None, "class attribute: an option of this type names a plugin of that kind"),
    ("model", "load", None, "method: build it and put it on a device, once before use"),
    ("model", "module", None, "its torch module"),
    ("model", "lacks", (), "capabilities taken back for its options, as words or protocols; may map them to what is missing"),
    ("model", "preparation", None, "after `load`: what `prepare` does, as a `Preparation`, for --images fast"),
    ("model", "collate", None, "method: prepared samples of any sizes to one batch, in place of torch.stack"),
    ("model", "similarity", "cosine", "how it compares images and texts: 'cosine' or 'dot'"),
    ("model", "score", None, "method: logits N×M of image and text embeddings that it compares itself"),
    ("model", "logit_scale", None, "after `load`: factor on cosine similarities, already exponentiated"),
    ("model", "token_counts", None, "method: tokens of each text before it is cut, see `CountsTokens`"),
    ("model or data set", "label_space", None, "name of the output space or of the labels, such as 'imagenet-1k'"),
    ("model or data set", "class_names", None, "names of the outputs or classes in their order; a split's too"),
    ("model or data set", "class_keys", None, "what files call the same classes, such as WordNet ids; a split's too"),
    ("model or data set", "num_classes", None, "how many outputs or classes, where they have no names"),
    ("model or data set", "recognise", None, "class method (path): options to use that file or folder with, or None"),
    ("model", "known_names", None, "class method: names that its first option knows, for bare names"),
    ("data set", "splits", None, "names of its splits, known without loading"),
    ("data set", "target_kind", "label", "kind of its targets, see `harness.contract.targets`"),
    ("data set", "class_order", None, "what to know wherever the order of the classes decides"),
    ("data set", "overlapping", (), "pairs of splits that share samples by design"),
    ("split", "templates", None, "its own zero-shot templates, with `{}` for the class name"),
    ("split", "label_indices", None, "for each label, its indices in the label space; absent: label i is index i"),
    ("split", "per_sample", None, "names of attributes with one value per sample, which a part cuts along"),
    ("split", "already_cropped", None, "side of the square that images are already cropped to, in pixels"),
    ("split", "left_out", (), "ids of the samples that were left out since they can't be read"),
    ("metric", "reads", None, "evidence classes that it reads, where its argument's annotation can't say"),
    ("metric", "bounds", None, "(lowest, highest) value"),
    ("metric", "per_sample", None, "method: one value per sample, for paired tests and intervals"),
    ("metric", "from_samples", None, "method: its value from kept columns (`target`, `prediction`, `confidence`), for intervals"),
    ("metric", "resampled", None, "method (evidence, weights R×N): its numbers where samples count that often, for intervals"),
    ("metric", "proportion", False, "True, or the keys of those numbers that are shares of the counted samples"),
    ("metric", "title", None, "its name in headers, such as 'Top-1 accuracy'; or names by the keys of its numbers"),
    ("metric", "examples", (), "pairs of evidence and known value, for the checks"),
    ("metric or summary", "higher_is_better", None, "direction; a metric must state it"),
    ("metric or summary", "unit", None, "'fraction' for values that tables may show in percent"),
    ("evidence", "example", None, "class method (quality, seed): evidence for the checks, 0 all wrong to 1 perfect"),
    ("evidence", "shuffled", None, "method (seed): the same in another order, for the checks"),
    ("evidence", "groups", None, "what each of its `ids` belongs to, such as an image: drawn as wholes for `resampled`"),
    ("evidence", "pack", None, "method: arrays and lists, by name, to keep it for metrics that are added later"),
    ("evidence", "unpack", None, "class method (what `pack` returned): the same evidence, to the last bit"),
    ("protocol", "axes", None, "names of its axes; absent: any"),
    ("protocol", "needs_model", True, "whether cells must have a model"),
    ("protocol", "needs_method", False, "whether cells must have a method"),
    ("protocol or method", "needs", (), "capability protocols that every model of its cells must have"),
    ("protocol", "target_kinds", ("label",), "kinds of target that it takes"),
    ("protocol", "provides", None, "evidence classes that metrics may read; absent: any"),
    ("protocol", "own_numbers", None, "names or patterns of its own numbers; absent: unknown"),
    ("protocol", "directions", {}, "whether higher is better, for its own numbers"),
    ("protocol", "units", {}, "units of its own numbers, as a metric's"),
    ("protocol or summary", "titles", {}, "names in headers of its own numbers, costs and axes, by their keys"),
    ("protocol", "fresh_model", False, "whether it changes its model, so that each cell needs a new one"),
    ("protocol", "cannot", None, "method (model, dataset, method, axes): why a combination makes no sense, or None"),
    ("protocol", "assumes", None, "method (model, dataset, method, axes): remarks on a combination that works"),
    ("protocol", "seeds_at_once", None, "method (cell): how many seeds `run_many` may get"),
    ("protocol", "run_many", None, "method (jobs): results of several seeds of one configuration"),
    ("protocol", "warm", None, "method (job): compute what `run` of a cell elsewhere asks of the feature cache, no more"),
    ("protocol", "measure", None, "method (job, evidence): the numbers that depend on metrics, from kept evidence"),
    ("summary or plot", "needs_store", False, "whether a summary is called with the store as well"),
    ("summary or plot", "takes_published", False, "whether it takes rows of published results, marked by the column `published`"),
    ("listener", "on_request", False, "whether it listens only where a run names it"),
    ("importer", "gives_predictions", False, "whether it reads predictions per sample, which the core measures"),
    ("importer", "recognise", None, "method (path): whether a file is its program's, from a look at it"),
    ("importer", "general", False, "whether it reads any program's files: asked only where no other recognises one"),
    ("importer", "example_name", None, "the name of the file that `example` would stand in, where names tell something"),
    ("executor", "close", None, "method: called once when no run needs it any more"),
)  # fmt: skip

QUESTIONS = tuple(DeclaredName(*row) for row in _ROWS)
"""One row per question; a name has the same default on every kind of plugin."""

_DEFAULTS = {question.name: question.default for question in QUESTIONS}


def ask(plugin: object, name: str) -> Any:
    """Return a plugin's (or split's, or evidence's) value of a declared name, else the name's default.

    Raises KeyError for a name that is not in `QUESTIONS`.
    """
    return getattr(plugin, name, _DEFAULTS[name])
