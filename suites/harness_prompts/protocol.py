"""The protocol `few-shot`: fit a prompt method on a few shots (or none) of a frozen model, then evaluate it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness import Dataset, EncodesImages, EncodesTexts, Job, OptionError, Predictions, Result, has
from harness.contract.declared import ask
from harness.inference.classes import check_same_classes
from harness.inference.splits import find_named_split, find_test_split, role_of
from harness.inference.zeroshot import similarity_of
from harness_few_shot.tower import HasClip
from harness_prompts.prompt_class_names import digest_class_names, find_names_file

if TYPE_CHECKING:
    from harness_few_shot.task import FewShotClassifier, FewShotTask
    from harness_prompts.prompt_data import PromptData

SIMILARITY_NAMES = {"cosine": "cosine", "dot": "dot product", "own": "a method of its own"}


class FewShot:
    """Fits a prompt method on K shots per class and evaluates it on test splits.

    The axis `shots` is K; without it, or with 0, nothing is fitted and only methods that need no shots run.
    All models, methods and suites get the same shots, and fewer shots are the first of more. Methods choose
    settings on training or validation shots only: the test split is read after the fit.

    Args:
        classes: `all`, or `base-to-new`: fit on the first half of the classes and evaluate both halves, each
            against its own names only; reports `<metric>.base`, `<metric>.new` and `H`.
        evaluate_on: further data sets to evaluate the same fitted method on: other data sets with
            their own class names (transfer), or shifts of this one (domain generalisation); reports
            `<metric>.<label>` for each, and their mean `<metric>.mean`.
        class_names: names for the prompts: `data`, `openai` or `coop` (which recognise the data set),
            `openai-imagenet`, `coop-eurosat`, … or a file; data sets of `evaluate_on` keep their own.
        train: the split that shots are drawn from, under any of its usual names.
        validation: the split for validation shots, likewise; without one besides the tested split, the rest
            of `train`.
        logit_scale: factor on the cosine similarities; by default the model's own.
    """

    needs = (EncodesImages, EncodesTexts)
    provides = (Predictions,)
    axes = ("shots",)
    own_numbers = ("fit_*", "trainable_*", "H", "mean of H")
    directions: ClassVar = {"H": True}
    titles: ClassVar = {
        "H": "H",
        "mean of H": "Mean of H",
        "shots": "Shots",
        "fit_seconds": "Training time (s)",
    }
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
            raise OptionError("base-to-new and evaluate_on exclude each other: choose one of them")
        for option, name in (("train", train), ("validation", validation)):
            if role_of(name) == "test":
                raise OptionError(f"few-shot: {option} can't be '{name}', the split that is evaluated")
        find_names_file(class_names)
        self.classes, self.evaluate_on, self.class_names = classes, evaluate_on, class_names
        self.train, self.validation, self.logit_scale = train, validation, logit_scale

    def fingerprint(self) -> str:
        """Return a digest of the class names, unless they are the data set's own."""
        return digest_class_names(self.class_names)

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this combination makes no sense, judged from the plugins' declarations, or None."""
        if method is None or not hasattr(method, "fit"):
            return "the protocol 'few-shot' needs a prompt method: name one under `methods`, such as template or coop"
        if method.needs_tower and not has(model, HasClip):
            return "learned contexts need a model that exposes its open_clip text tower"
        shots = axes.get("shots", 0)
        if not isinstance(shots, int) or isinstance(shots, bool) or shots < 0:
            return f"shots must be a whole number of samples per class, not {shots!r}"
        if method.needs_shots and shots < 1:
            return "the method needs shots: give the axis `shots`"
        test, train = find_test_split(dataset.splits, option=""), find_named_split(dataset.splits, self.train)
        if method.needs_shots and train is None:
            return f"the data set has no split '{self.train}' to draw shots from"
        if test.refusal:
            return test.refusal
        if method.needs_shots and train == test.name:
            return f"the data set's split '{train}' is the tested one, so no shots can be drawn from it"
        if (found := similarity_of(model)) not in getattr(method, "similarities", ("cosine",)):
            return (
                f"the method can't compare images and texts by {SIMILARITY_NAMES[found]}, as the model does: "
                f"use {'the method template or ensemble' if found == 'dot' else 'the protocol classification'}"
            )
        if self.classes == "base-to-new" and not method.transfers:
            return "the method can't name classes it was not fitted on"
        for other in self.evaluate_on or []:  # report at planning, not after hours of fitting
            check = ask(other, "unavailable")
            if check and (missing := check()):
                return f"evaluate_on, beside the data set: {missing}"
            if refusal := find_test_split(other.splits, option="").refusal:
                return f"evaluate_on: {refusal}"
        space = ask(dataset, "label_space")
        others = {ask(other, "label_space") for other in self.evaluate_on or []}
        if not method.transfers and others - {space}:
            return "the method can't name classes of other data sets"
        return None

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return remarks on assumptions about the tested splits."""
        found = [find_test_split(data.splits).remark for data in (dataset, *(self.evaluate_on or []))]
        return [text for text in found if text]

    def run(self, job: Job) -> Result:
        """Fit the method, then evaluate it on every split of the protocol."""
        import time

        from harness.running.devices import seed_all

        shots, train, source = self._open_data(job)
        if train is not None:
            tested = job.splits(source.tested)
            for text in check_same_classes(job.splits(train), tested, job.cell.dataset.label):
                job.remark(text)
        base, new = self._choose_classes(source)
        task = source.make_task(base, shots, self.train, self.validation, self.logit_scale)
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
        _remark_prompts(job, source, classifier, task)
        if new:
            return self._evaluate_halves(job, source, classifier, task, {"base": base, "new": new})
        result = self._evaluate(job, source, classifier, task)
        return self._evaluate_elsewhere(job, result, classifier, task)

    def warm(self, job: Job) -> None:
        """Embed the tested splits, unless the method has an image tower of its own, and the pools of shots."""
        from harness.inference.evaluate import outputs
        from harness_prompts.prompt_data import PromptData

        shots, _, source = self._open_data(job)
        if not getattr(job.method, "own_image_tower", False):
            others = [PromptData(place) for place in map(job.at, self.evaluate_on or [])]
            for tested in (source, *others):  # first: the run begins with the shots
                outputs(tested.job, "image embeddings", tested.tested)
        base, _ = self._choose_classes(source)
        source.make_task(base, shots, self.train, self.validation, self.logit_scale)

    def _open_data(self, job: Job) -> tuple[int, str | None, PromptData]:
        """Return the number of shots, the split that they are drawn from, if any, and the data set."""
        from harness_prompts.prompt_data import PromptData

        shots = int(job.cell.axes.get("shots", 0)) if job.method.needs_shots else 0
        train = find_named_split(job.dataset.splits, self.train) if shots else None
        return shots, train, PromptData(job, self.class_names, train)

    def _choose_classes(self, source: PromptData) -> tuple[list[int], list[int]]:
        """Return the classes to fit on, and the new ones that the method then has to name."""
        from harness_prompts.shots import split_base_and_new

        count = len(source.class_names)
        return split_base_and_new(count) if self.classes == "base-to-new" else (list(range(count)), [])

    def _evaluate(
        self, job: Job, source: PromptData, classifier: FewShotClassifier, task: FewShotTask
    ) -> Result:
        from harness.inference.evaluate import classification_result

        predictions, rate = source.predict(classifier, list(range(len(source.class_names))), source.tested)
        cost = {**task.cost, **({"samples_per_second": rate} if rate else {})}
        return classification_result(job, predictions, curves=task.curves, cost=cost, notes=task.notes)

    def _evaluate_halves(
        self,
        job: Job,
        source: PromptData,
        classifier: FewShotClassifier,
        task: FewShotTask,
        halves: dict[str, list[int]],
    ) -> Result:
        """Evaluate both halves, each against its own names only; H is the harmonic mean of their accuracies."""
        evidence: dict[str, Predictions] = {}
        samples: dict[str, list[Any]] = {"id": [], "target": [], "prediction": [], "half": []}
        for half, classes in halves.items():
            predictions, _ = source.predict(classifier, classes, source.tested)
            evidence[half] = predictions
            samples["id"] += list(predictions.ids)
            samples["target"] += [classes[t] for t in predictions.targets]
            samples["prediction"] += [classes[p] for p in predictions.predicted]
            samples["half"] += [half] * len(predictions)
            task.notes[f"{half}_samples"] = len(predictions)
        return Result(
            self.measure(job, evidence),
            len(samples["id"]),
            samples,
            task.curves,
            task.cost,
            notes=task.notes,
            evidence=evidence,
        )

    def measure(self, job: Job, evidence: Mapping[str, Predictions]) -> dict[str, float]:
        """Return the metrics on each half or data set, with H or the means over the further data sets."""
        from harness.inference.evaluate import measure_evidence
        from harness_prompts.shots import harmonic_mean

        metrics = measure_evidence(job, evidence)
        if self.classes == "base-to-new":
            first = "top1" if "top1" in job.metrics else next(iter(job.metrics))
            if {f"{first}.base", f"{first}.new"} <= metrics.keys():  # absent where the metric failed
                metrics["H"] = harmonic_mean(metrics[f"{first}.base"], metrics[f"{first}.new"])
            return metrics
        there = [name for name in evidence if name]
        means: dict[str, float] = {}
        for name in metrics if there else ():
            metric = name.removesuffix(f".{there[0]}")
            values = [metrics[f"{metric}.{label}"] for label in there if f"{metric}.{label}" in metrics]
            if len(values) == len(there):  # the metric failed somewhere: a mean over fewer is not comparable
                means[f"{metric}.mean"] = sum(values) / len(values)
        return {**metrics, **means}

    def _evaluate_elsewhere(
        self, job: Job, result: Result, classifier: FewShotClassifier, task: FewShotTask
    ) -> Result:
        """Add the classifier's metrics on the further data sets, and their means."""
        from harness_prompts.prompt_data import PromptData

        if not self.evaluate_on:
            return result
        evidence = dict(result.evidence)
        for label, place in {p.cell.dataset.label: p for p in map(job.at, self.evaluate_on)}.items():
            source = PromptData(place, "data", None)
            _remark_prompts(place, source, classifier, task)
            predictions, _ = source.predict(classifier, list(range(len(source.class_names))), source.split)
            evidence[label] = predictions
            task.notes[f"samples.{label}"] = len(predictions)
        further = self.measure(job, {name: one for name, one in evidence.items() if name})
        notes = {**result.notes, **task.notes}
        return replace(result, metrics={**result.metrics, **further}, evidence=evidence, notes=notes)


def _remark_prompts(job: Job, source: PromptData, classifier: FewShotClassifier, task: FewShotTask) -> None:
    """Remark which prompts were cut and which classes share theirs; for learned contexts, the bare names count."""
    from harness.inference.prompts import prompt_facts, remark_prompts
    from harness.inference.zeroshot import prompts_of

    templates = list(getattr(classifier, "templates", None) or ["{}"])
    texts = prompts_of(source.class_names, templates)
    encoded = task.texts.encode(texts).cpu().numpy()
    facts = prompt_facts(job.model, texts, encoded)
    remark_prompts(job, source.class_names, templates, facts)
