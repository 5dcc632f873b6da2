"""Networks that answer with scores themselves: late fusion, the majority class, and the oracle."""

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
"""Factor on the learned weights' logits: AdamW moves every number by the rate at most, and at rates fit
for matrices (1e-4) two plain logits would end where they start."""


class LateNetwork(nn.Module):
    """A weighted mean of what two unimodal heads say; a missing modality has no vote.

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
        """The heads that are trained before, each alone."""
        return {"text": self.text, "image": self.image} if self.separate else {}

    def prior_votes(self) -> torch.Tensor:
        """The weights of text and image where both are there, 2, of sum 1."""
        return self.fixed

    def share_votes(self, text: Features, image: Features) -> torch.Tensor:
        """The weights of text and image, B×2, of sum 1; the plain ones where no weighted modality is there."""
        plain = self.prior_votes()
        votes = plain * torch.stack([text.present, image.present], dim=-1)
        total = votes.sum(dim=-1, keepdim=True)
        return torch.where(total > 0, votes / torch.where(total > 0, total, 1.0), plain)

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Scores B×C: (log-)probabilities, or logits by that rule."""
        said = torch.stack([self.text(text, image), self.image(text, image)])
        weights = self.share_votes(text, image).T[..., None]
        if self.rule == "logits":
            return (weights * said).sum(dim=0)
        said = F.log_softmax(said, dim=-1)
        if self.rule == "probabilities":
            return torch.logsumexp(said + weights.log(), dim=0)  # a weight of 0 adds exp(−∞)
        return (weights * said).sum(dim=0)


class LearnedLateNetwork(LateNetwork):
    """Late fusion of log-probabilities whose two weights are a softmax of two trained numbers."""

    def __init__(self, text: nn.Module, image: nn.Module, separate: bool = False) -> None:
        super().__init__(text, image, "log-probabilities", separate=separate)
        self.balance = nn.Parameter(torch.zeros(2))

    def prior_votes(self) -> torch.Tensor:
        """The learned weights of text and image, 2."""
        return torch.softmax(BALANCE_SCALE * self.balance, dim=0)

    def weights(self, text: Features, image: Features) -> torch.Tensor:
        """The share of each modality, B×2: its vote."""
        return self.share_votes(text, image)


class MajorityNetwork(nn.Module):
    """The class frequencies of the training part, whatever the sample; nothing is trained."""

    scores = True
    log_prior: torch.Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("log_prior", torch.zeros(classes))

    def observe(self, targets: torch.Tensor) -> None:
        """Counts the training targets N; one is added to each class, to keep logarithms finite."""
        counts = torch.bincount(targets, minlength=len(self.log_prior)) + 1
        self.log_prior.copy_((counts / counts.sum()).log())

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """The same log-probabilities for all, B×C."""
        return self.log_prior.expand(len(text), -1)


class OracleNetwork(nn.Module):
    """Right wherever either of two separately trained unimodal heads is right: a bound, no method."""

    scores = True

    def __init__(self, text: nn.Module, image: nn.Module) -> None:
        super().__init__()
        self.text, self.image = text, image

    def parts(self) -> Mapping[str, nn.Module]:
        """The unimodal heads, trained each alone."""
        return {"text": self.text, "image": self.image}

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Without the truth there is no oracle. Raises DataError."""
        raise DataError("the oracle is a bound that needs the labels; it can't predict unlabelled samples")

    def score_with_targets(self, text: Features, image: Features, targets: torch.Tensor) -> torch.Tensor:
        """For each sample the log-probabilities of the head that is right, B×C.

        Where both or none are right, of the one that gives the true class more. Raises DataError for
        a target that is no class.
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
