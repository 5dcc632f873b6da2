"""Methods that classify images of classes never shown: by their attributes, or by their names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness import DataError, EncodesImages, EncodesTexts, OptionError
from harness.inference.zeroshot import check_templates, similarity_of, templates_of
from harness_attributes.attribute_scores import measure_priors, mix_attributes, score_by_attributes
from harness_attributes.attribute_table import describe_twins

if TYPE_CHECKING:
    from harness_attributes.contracts import AttributeTask, ScoreImages

MAX_STEPS = 1000

Prior = Literal["seen classes", "uniform"]


class AttributeRegression:
    """Base of the methods that learn logistic regressions (scikit-learn's L-BFGS) on normalised embeddings.

    Args:
        strength: inverse strength C of the L2 penalty.
        prior: p(a) of each attribute: its share of the seen classes (Lampert et al. 2014), or one half.
    """

    needs = (EncodesImages,)

    def __init__(self, strength: float = 10.0, prior: Prior = "seen classes") -> None:
        if not 0 < strength < math.inf:
            raise OptionError(f"strength: must be above 0 and finite, got {strength}")
        self.strength, self.prior = strength, prior

    def _choose_attributes(self, task: AttributeTask) -> tuple[list[int], NDArray[np.float64]]:
        """Return the attributes that some training classes have and others lack, and their priors.

        The others are left out with a remark. Raises DataError if none remain.
        """
        table = task.table
        learned = table.binary[np.unique(task.labels)]
        used = np.flatnonzero((learned == 1).any(axis=0) & (learned == 0).any(axis=0)).tolist()
        where = task.job.cell.dataset.label
        if not used:
            raise DataError(f"{where}: no attribute differs between the classes to learn from")
        if out := [name for n, name in enumerate(table.attribute_names) if n not in used]:
            are = "is" if len(out) == 1 else "are"
            task.job.remark(
                f"{where}: {len(out)} of {len(table.attribute_names)} attributes {are} left out, equal for all classes with "
                f"training images that state them (first: '{out[0]}')"
            )
        for text in describe_twins(table, used, task.candidates.tolist()):
            task.job.remark(f"{where}: {text}")
        task.notes |= {"attributes": len(used), "strength": self.strength, "prior": self.prior}
        priors = measure_priors(learned[:, used]) if self.prior == "seen classes" else np.full(len(used), 0.5)
        return used, priors

    def _fit(self, features: NDArray[Any], labels: NDArray[np.int64], unfinished: list[int]) -> _Linear:
        """Return the regression's weights K×D and biases K; for two classes one row, the later one's."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = LogisticRegression(C=self.strength, max_iter=MAX_STEPS).fit(features, labels)
        unfinished.append(int(max(fitted.n_iter_) >= MAX_STEPS))
        return np.asarray(fitted.coef_, float), np.asarray(fitted.intercept_, float)


_Linear = tuple[NDArray[np.float64], NDArray[np.float64]]


class DirectAttributePrediction(AttributeRegression):
    """Direct attribute prediction: a regression for each attribute, and the product of their probabilities.

    The score of a class is Π p(a_m | x) / p(a_m) over its binary attributes (Lampert, Nickisch, Harmeling, CVPR 2009 and
    TPAMI 2014); the product is a sum of logarithms. The paper's classifiers are support vector machines with Platt
    scaling; here they are logistic regressions.
    """

    def learn(self, task: AttributeTask) -> ScoreImages:
        """Learn each attribute from the images whose classes state it."""
        used, priors = self._choose_attributes(task)
        features, unfinished, found = normalise_rows(task.features), list[int](), list[_Linear]()
        for done, attribute in enumerate(used):
            values = task.table.binary[task.labels, attribute]
            known = ~np.isnan(values)
            found.append(self._fit(features[known], values[known].astype(np.int64), unfinished))
            task.job.advance(done + 1, len(used))
        _remark_unfinished(task, unfinished)
        weights = np.concatenate([weight for weight, _ in found])
        biases = np.concatenate([bias for _, bias in found])
        table = task.table.binary[:, used]

        def score(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
            odds = normalise_rows(embeddings) @ weights.T + biases
            return score_by_attributes(-np.logaddexp(0, -odds), -np.logaddexp(0, odds), table, priors)

        return score


class IndirectAttributePrediction(AttributeRegression):
    """Indirect attribute prediction: one regression over the seen classes, whose attributes are averaged.

    p(a_m | x) = Σ_k p(y_k | x) a_m^k over the seen classes, then as in direct prediction (Lampert et al. 2009, 2014).
    """

    def learn(self, task: AttributeTask) -> ScoreImages:
        """Learn the seen classes."""
        from scipy.special import log_softmax

        used, priors = self._choose_attributes(task)
        unfinished: list[int] = []
        weights, biases = self._fit(normalise_rows(task.features), task.labels, unfinished)
        _remark_unfinished(task, unfinished)
        if len(weights) == 1:  # of two classes
            weights, biases = np.vstack([0 * weights, weights]), np.append(0.0, biases)
        seen, table = task.table.binary[np.unique(task.labels)][:, used], task.table.binary[:, used]

        def score(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
            classes = log_softmax(normalise_rows(embeddings) @ weights.T + biases, axis=1)
            return score_by_attributes(*mix_attributes(classes, seen), table, priors)

        return score


class ZeroShotTexts:
    """The model's own text classifier over the names of the same classes: nothing is learned, no attribute is read.

    Args:
        templates: prompts with `{}` for the class name; by default the data set's own, else "a photo of a {}.".
    """

    needs = (EncodesImages, EncodesTexts)

    def __init__(self, templates: list[str] | None = None) -> None:
        self.templates = None if templates is None else check_templates(templates)

    def learn(self, task: AttributeTask) -> ScoreImages:
        """Encode the prompts of all classes."""
        import torch

        from harness.inference.prompts import prompt_facts, remark_prompts
        from harness.inference.zeroshot import (
            build_zero_shot_classifier,
            prompt_grid,
            prompts_of,
            zero_shot_logits,
        )
        from harness_few_shot.texts import TextEmbeddings

        job, names = task.job, task.table.class_names
        templates = self.templates or templates_of(job.splits("train"), job.cell.dataset.label)
        texts = prompts_of(names, templates)
        kept = job.shared(TextEmbeddings, lambda: TextEmbeddings(job.model), of="model")
        encoded = kept.encode(texts)
        remark_prompts(job, names, templates, prompt_facts(job.model, texts, encoded.cpu().numpy()))
        similarity = similarity_of(job.model)
        if similarity == "own":
            weights, scale = prompt_grid(encoded, names, templates), 1.0
        else:
            weights = build_zero_shot_classifier(encoded, names, templates, similarity)
            scale = float(job.model.logit_scale)
        task.notes |= {"templates": len(templates), "logit_scale": scale}

        def score(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
            images = torch.from_numpy(embeddings).to(weights.device)
            return zero_shot_logits(job.model, images, weights, scale).cpu().numpy()

        return score


def normalise_rows(embeddings: NDArray[Any]) -> NDArray[np.float64]:
    """Return embeddings N×D of length 1 in float64; a row of zeros remains."""
    rows = np.asarray(embeddings, np.float64)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _remark_unfinished(task: AttributeTask, unfinished: list[int]) -> None:
    if count := sum(unfinished):
        task.job.remark(
            f"{task.job.cell.dataset.label}: {count} of {len(unfinished)} regressions had not converged after "
            f"{MAX_STEPS} steps: a smaller `strength` needs fewer"
        )
