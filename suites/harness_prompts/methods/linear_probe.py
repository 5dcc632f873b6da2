"""A linear probe on the embeddings of the shots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import DataError, OptionError
from harness_prompts.fixed_classifier import FixedClassifier
from harness_prompts.shots import FromShots

if TYPE_CHECKING:
    from harness_few_shot.task import FewShotTask


class LinearProbe(FromShots):
    """Logistic regression on the normalised embeddings of the shots (scikit-learn's L-BFGS).

    Args:
        strengths: inverse regularisation strengths C to choose from by accuracy on the validation shots;
            without any, the middle one is taken. By default 0.1, 1, 10, 100 and 1000.
    """

    transfers = False
    needs_tower = False

    def __init__(self, strengths: list[float] | None = None) -> None:
        self.strengths = strengths or [0.1, 1.0, 10.0, 100.0, 1000.0]
        if min(self.strengths) <= 0:
            raise OptionError(f"strengths must be above 0, got {self.strengths}")

    def fit(self, task: FewShotTask) -> FixedClassifier:
        """Fit one regression per strength and keep the best. Raises DataError for samples of one class only."""
        import warnings

        import torch
        from sklearn.linear_model import LogisticRegression

        x, y = task.features.cpu().numpy(), task.labels.cpu().numpy()
        strengths, fitted = sorted(self.strengths), {}
        if not len(task.val_labels):
            strengths = [strengths[len(strengths) // 2]]
        if len(set(y.tolist())) < 2:
            raise DataError("a linear probe needs samples of two classes or more to learn from")
        with warnings.catch_warnings():  # scikit-learn mistakes one shot of many classes for a regression
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            for strength in strengths:
                fitted[strength] = LogisticRegression(C=strength, max_iter=1000).fit(x, y)
        best = strengths[0]
        if len(strengths) > 1:
            val_x, val_y = task.val_features.cpu().numpy(), task.val_labels.cpu().numpy()
            best = max(strengths, key=lambda s: (fitted[s].score(val_x, val_y), -s))  # ties: the smallest C
        chosen = fitted[best]
        task.notes |= {
            "selected_on": "validation shots" if len(strengths) > 1 else "nothing",
            "strength": best,
        }
        weight = torch.zeros(len(task.class_names), x.shape[1])
        bias = torch.full((len(task.class_names),), -1e4)  # a class without samples is never predicted
        if len(chosen.classes_) == 2:  # scikit-learn stores one row for two classes
            weight[chosen.classes_[0]], bias[chosen.classes_[0]] = 0.0, 0.0
            weight[chosen.classes_[1]] = torch.from_numpy(chosen.coef_[0]).float()
            bias[chosen.classes_[1]] = float(chosen.intercept_[0])
        else:
            weight[chosen.classes_] = torch.from_numpy(chosen.coef_).float()
            bias[chosen.classes_] = torch.from_numpy(chosen.intercept_).float()
        weight, bias = weight.to(task.device), bias.to(task.device)
        task.cost["trainable_parameters"] = float(weight.numel() + bias.numel())
        return FixedClassifier(task.class_names, lambda f: f @ weight.T + bias)
