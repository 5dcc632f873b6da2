"""The protocol `few-shot`: a prompt method fitted on a few shots (or none) of a frozen model, then evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness import Dataset, EncodesImages, EncodesTexts, Job, OptionError, Predictions, Result, has
from harness.inference.classes import check_same_classes
from harness.inference.splits import find_named_split, find_test_split, role_of
from harness.inference.zeroshot import similarity_of
from harness_few_shot.tower import HasClip
from harness_prompts.names import digest, file_of

if TYPE_CHECKING:
    from harness_few_shot.task import Classifier, Task
    from harness_prompts.data import Source

SCORED = {"cosine": "cosine", "dot": "dot product", "own": "a method of its own"}


class FewShot:
    """Fits a prompt method on K shots per class and evaluates it on test splits.

    The axis `shots` is K; without it, or with 0, nothing is fitted and only methods that need no
    shots run. Shots are those of every other suite, so every model and method sees the same, and
    fewer shots are the first of more. Whatever a method chooses, it chooses on its training or
    validation shots: the test split is first read after it is fitted.

    Args:
        classes: `all`, or `base-to-new`: fitted on the first half of the classes and evaluated on
            both, each half against its own names only; gives `<metric>.base`, `<metric>.new` and `H`.
        evaluate_on: further data sets to evaluate the same fitted method on: other data sets with
            their own class names (transfer), or shifts of this one (domain generalisation); each gives
            `<metric>.<label>`, and all of them `<metric>.mean`.
        class_names: names for the prompts: `data`, `openai` or `coop` (whichever of the known data sets
            it is), `openai-imagenet`, `coop-eurosat`, … or a file; data sets of `evaluate_on` keep their own.
        train: the split that shots are drawn from, under any of its usual names.
        validation: the split for validation shots, likewise; the rest of `train` when there is none besides
            what is tested on.
        logit_scale: factor on the cosine similarities; by default the model's own.
    """

    needs = (EncodesImages, EncodesTexts)
    provides = (Predictions,)
    axes = ("shots",)
    own_numbers = ("fit_*", "trainable_*", "H", "mean of H")
    directions: ClassVar = {"H": True}
    units: ClassVar = {"H": "fraction"}
    smallest: ClassVar = {
        "cell": {
            "models": [{"plugin": "tiny-clip", "tower": "vit", "steps": 0}],
            "datasets": ["digits"],
            "methods": ["template"],
            "metrics": ["top1"],
            "axes": {"shots": [1]},
            "limit": 48,
        }
    }

    def __init__(
        self,
        classes: Literal["all", "base-to-new"] = "all",
        evaluate_on: list[Dataset] | None = None,
        class_names: str = "data",
        train: str = "train",
        validation: str = "val",
        logit_scale: float | None = None,
    ) -> None:
        if classes == "base-to-new" and evaluate_on:
            raise OptionError("base-to-new and evaluate_on are two protocols: choose one of them")
        for option, name in (("train", train), ("validation", validation)):
            if role_of(name) == "test":
                raise OptionError(f"few-shot: {option} can't be '{name}', which is what is evaluated on")
        file_of(class_names)
        self.classes, self.evaluate_on, self.class_names = classes, evaluate_on, class_names
        self.train, self.validation, self.logit_scale = train, validation, logit_scale

    def fingerprint(self) -> str:
        """Of the class names, unless they are the data set's own."""
        return digest(self.class_names)

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Why this combination makes no sense, from what its parts say of themselves."""
        if method is None or not hasattr(method, "fit"):
            return "the protocol 'few-shot' needs a prompt method: name one under `methods`, such as template or coop"
        if method.needs_tower and not has(model, HasClip):
            return "learned contexts need a model that shows its open_clip text tower"
        shots = axes.get("shots", 0)
        if not isinstance(shots, int) or isinstance(shots, bool) or shots < 0:
            return f"shots must be a number of samples per class, not {shots!r}"
        if method.needs_shots and shots < 1:
            return "the method needs shots: give the axis `shots`"
        test, train = find_test_split(dataset.splits, option=""), find_named_split(dataset.splits, self.train)
        if method.needs_shots and train is None:
            return f"the data set has no split '{self.train}' to draw shots from"
        if test.refusal:
            return test.refusal
        if method.needs_shots and train == test.name:
            return f"the data set's split '{train}' is what is tested on, so no shots can be drawn from it"
        if (found := similarity_of(model)) not in getattr(method, "similarities", ("cosine",)):
            return (
                f"the method can't compare images and texts by {SCORED[found]}, as the model does: "
                f"take {'the method template or ensemble' if found == 'dot' else 'the protocol classification'}"
            )
        if self.classes == "base-to-new" and not method.transfers:
            return "the method can't name classes it was not fitted on"
        for other in self.evaluate_on or []:  # to be told before a method is fitted for hours
            if missing := (other.unavailable() if hasattr(other, "unavailable") else None):
                return f"evaluate_on, beside the data set: {missing}"
            if refusal := find_test_split(other.splits, option="").refusal:
                return f"evaluate_on: {refusal}"
        space = getattr(dataset, "label_space", None)
        others = {getattr(other, "label_space", None) for other in self.evaluate_on or []}
        if not method.transfers and others - {space}:
            return "the method can't name classes of other data sets"
        return None

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """What is assumed of the splits that are tested on."""
        found = [find_test_split(data.splits).remark for data in (dataset, *(self.evaluate_on or []))]
        return [text for text in found if text]

    def run(self, job: Job) -> Result:
        """Fits the method, then evaluates it wherever the protocol says."""
        import time

        from harness.running.devices import seed_all
        from harness_prompts.data import Source
        from harness_prompts.shots import base_and_new

        shots = int(job.cell.axes.get("shots", 0)) if job.method.needs_shots else 0
        train = find_named_split(job.dataset.splits, self.train) if shots else None
        source = Source(job, self.class_names, train)
        if train is not None:
            tested = job.splits(source.tested)
            for text in check_same_classes(job.splits(train), tested, job.cell.dataset.label):
                job.remark(text)
        everything = list(range(len(source.class_names)))
        base, new = base_and_new(len(everything)) if self.classes == "base-to-new" else (everything, [])
        task = source.task(base, shots, self.train, self.validation, self.logit_scale)
        seed_all(task.seed)
        start = time.perf_counter()
        classifier = job.method.fit(task)
        task.cost["fit_seconds"] = time.perf_counter() - start
        task.notes = {
            "shots": shots,
            "training_samples": len(task.labels),
            "validation_samples": len(task.val_labels),
            "selected_on": "nothing",
            "fitted_on": source.fitted_on if shots else "nothing",
            "logit_scale": task.logit_scale,
            "fitted_classes": len(base),
            **task.notes,
        }
        _tell_of_prompts(job, source, classifier, task)
        if new:
            return self._halves(job, source, classifier, task, {"base": base, "new": new})
        result = self._evaluated(job, source, classifier, task)
        return self._elsewhere(job, result, classifier, task)

    def _evaluated(self, job: Job, source: Source, classifier: Classifier, task: Task) -> Result:
        from harness.inference.evaluate import classification_result

        predictions, rate = source.predictions(
            classifier, list(range(len(source.class_names))), source.tested
        )
        cost = {**task.cost, **({"samples_per_second": rate} if rate else {})}
        return classification_result(job, predictions, curves=task.curves, cost=cost, notes=task.notes)

    def _halves(
        self, job: Job, source: Source, classifier: Classifier, task: Task, halves: dict[str, list[int]]
    ) -> Result:
        """Both halves, each against its own names only; H from the accuracies."""
        from harness.inference.evaluate import compute_metrics
        from harness_prompts.shots import harmonic_mean

        metrics: dict[str, float] = {}
        samples: dict[str, list[Any]] = {"id": [], "target": [], "prediction": [], "half": []}
        for half, classes in halves.items():
            predictions, _ = source.predictions(classifier, classes, source.tested)
            metrics |= {f"{name}.{half}": value for name, value in compute_metrics(job, predictions).items()}
            samples["id"] += list(predictions.ids)
            samples["target"] += [classes[t] for t in predictions.targets]
            samples["prediction"] += [classes[p] for p in predictions.predicted]
            samples["half"] += [half] * len(predictions)
            task.notes[f"{half}_samples"] = len(predictions)
        first = "top1" if "top1" in job.metrics else next(iter(job.metrics))
        if {f"{first}.base", f"{first}.new"} <= metrics.keys():  # absent where the metric failed
            metrics["H"] = harmonic_mean(metrics[f"{first}.base"], metrics[f"{first}.new"])
        return Result(metrics, len(samples["id"]), samples, task.curves, task.cost, notes=task.notes)

    def _elsewhere(self, job: Job, result: Result, classifier: Classifier, task: Task) -> Result:
        """Adds what the same classifier gives on the further data sets, and the means over them."""
        from harness.inference.evaluate import compute_metrics
        from harness_prompts.data import Source

        places = {p.cell.dataset.label: p for p in map(job.at, self.evaluate_on or [])}
        found: dict[str, dict[str, float]] = {}
        for label, place in places.items():
            source = Source(place, "data", None)
            _tell_of_prompts(place, source, classifier, task)
            predictions, _ = source.predictions(
                classifier, list(range(len(source.class_names))), source.split
            )
            for name, value in compute_metrics(place, predictions).items():
                found.setdefault(name, {})[label] = value
            task.notes[f"samples.{label}"] = len(predictions)
        for name, values in found.items():
            result.metrics = {**result.metrics, **{f"{name}.{label}": v for label, v in values.items()}}
            if len(values) == len(places):  # a mean over fewer, where the metric failed, is another number
                result.metrics = {**result.metrics, f"{name}.mean": sum(values.values()) / len(values)}
        return result


def _tell_of_prompts(job: Job, source: Source, classifier: Classifier, task: Task) -> None:
    """Remark which prompts were cut, and which classes have the same ones; of learned contexts which names are alike."""
    from harness.inference.prompts import prompt_facts, remark_prompts
    from harness.inference.zeroshot import prompts_of

    templates = list(getattr(classifier, "templates", None) or ["{}"])
    texts = prompts_of(source.class_names, templates)
    encoded = task.texts.encode(texts).cpu().numpy()
    facts = prompt_facts(job.model, texts, encoded)
    remark_prompts(job, source.class_names, templates, facts)
