"""Networks that return scores themselves: late fusion, the majority class, and the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from harness import DataError
from harness_fusion.contracts import Features

LateRule = Literal["log-probabilities", "probabilities", "logits"]

BALANCE_SCALE = 50.0
"""Factor on the learned weights' logits: AdamW changes every number by about the rate at most, so at rates
suited to matrices (1e-4) two unscaled logits would hardly move."""


class LateNetwork(nn.Module):
    """A weighted mean of two unimodal heads' scores, over the modalities present.

    `separate`: the heads are trained first, each alone, and are frozen while weights are learned.
    """

    scores = True
    fixed: torch.Tensor

    def __init__(
        self,
        text: nn.Module,
        image: nn.Module,
        rule: LateRule,
        text_weight: float = 0.5,
        separate: bool = False,
    ) -> None:
        super().__init__()
        self.text, self.image, self.rule, self.separate = text, image, rule, separate
        self.register_buffer("fixed", torch.tensor([text_weight, 1 - text_weight]))

    def parts(self) -> Mapping[str, nn.Module]:
        """Return the heads to train first, each alone."""
        return {"text": self.text, "image": self.image} if self.separate else {}

    def prior_votes(self) -> torch.Tensor:
        """Return the weights (2, of sum 1) of text and image if both are present."""
        return self.fixed

    def share_votes(self, text: Features, image: Features) -> torch.Tensor:
        """Return the weights of text and image, B×2 of sum 1; `prior_votes` if no weighted modality is present."""
        prior = self.prior_votes()
        votes = prior * torch.stack([text.present, image.present], dim=-1)
        total = votes.sum(dim=-1, keepdim=True)
        return torch.where(total > 0, votes / torch.where(total > 0, total, 1.0), prior)

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return scores B×C: log-probabilities, or logits under that rule."""
        scores = torch.stack([self.text(text, image), self.image(text, image)])
        weights = self.share_votes(text, image).T[..., None]
        if self.rule == "logits":
            return (weights * scores).sum(dim=0)
        scores = F.log_softmax(scores, dim=-1)
        if self.rule == "probabilities":
            return torch.logsumexp(scores + weights.log(), dim=0)  # log Σ w·p; a weight of 0 adds exp(−∞) = 0
        return (weights * scores).sum(dim=0)


class LearnedLateNetwork(LateNetwork):
    """Late fusion of log-probabilities with two weights, the softmax of two trained numbers."""

    def __init__(self, text: nn.Module, image: nn.Module, separate: bool = False) -> None:
        super().__init__(text, image, "log-probabilities", separate=separate)
        self.balance = nn.Parameter(torch.zeros(2))

    def prior_votes(self) -> torch.Tensor:
        """Return the learned weights (2) of text and image."""
        return torch.softmax(BALANCE_SCALE * self.balance, dim=0)

    def weights(self, text: Features, image: Features) -> torch.Tensor:
        """Return the weight of each modality, B×2."""
        return self.share_votes(text, image)


class MajorityNetwork(nn.Module):
    """The class frequencies of the training part for every sample; nothing is trained."""

    scores = True
    log_prior: torch.Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("log_prior", torch.zeros(classes))

    def observe(self, targets: torch.Tensor) -> None:
        """Count the training targets N; add one to each class, to keep logarithms finite."""
        counts = torch.bincount(targets, minlength=len(self.log_prior)) + 1
        self.log_prior.copy_((counts / counts.sum()).log())

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the same log-probabilities for every sample, B×C."""
        return self.log_prior.expand(len(text), -1)


class OracleNetwork(nn.Module):
    """Correct wherever one of two separately trained unimodal heads is correct: a bound, not a method."""

    scores = True

    def __init__(self, text: nn.Module, image: nn.Module) -> None:
        super().__init__()
        self.text, self.image = text, image

    def parts(self) -> Mapping[str, nn.Module]:
        """Return the unimodal heads, each trained alone."""
        return {"text": self.text, "image": self.image}

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Raise DataError: the oracle needs the targets."""
        raise DataError("the oracle is a bound that needs the labels; it can't predict unlabelled samples")

    def score_with_targets(self, text: Features, image: Features, targets: torch.Tensor) -> torch.Tensor:
        """Return each sample's log-probabilities B×C from the head that is correct.

        If both or neither are, take the head with the higher probability of the true class. Raises
        DataError for a negative target.
        """
        if bool((targets < 0).any()):
            raise DataError(
                "the oracle is a bound that needs the labels; it can't predict unlabelled samples"
            )
        said = F.log_softmax(torch.stack([self.text(text, image), self.image(text, image)]), dim=-1)
        right = said.argmax(dim=-1) == targets
        truth = said.gather(-1, targets.expand(2, -1)[..., None])[..., 0]
        from_text = torch.where(right[0] == right[1], truth[0] >= truth[1], right[0])
        return torch.where(from_text[:, None], said[0], said[1])
