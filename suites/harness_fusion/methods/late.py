"""Late fusion of two unimodal heads, and the oracle that bounds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness import OptionError
from harness_fusion.methods.option_checks import check_at_least

if TYPE_CHECKING:
    from torch import nn


class Late:
    """Decision fusion: a mean of what a text head and an image head say. A missing modality has no vote.

    Args:
        rule: the mean of log-probabilities, of probabilities, of logits, or of log-probabilities with
            `learned` weights (one per modality, softmax, start equal). Logits and log-probabilities differ
            by a constant per head and sample, so their means give the same probabilities and the same
            training; a mean of probabilities is another method.
        training: `joint` trains both heads on the fused answer's loss; `separate` trains each alone, with
            its own early stopping, exactly as text-only and image-only are, and then fuses (learned weights
            are fitted on the training part with the heads frozen).
        hidden: width of each head's hidden layer.
        text_weight: the fixed weight of the text, from 0 to 1; the image has the rest.
    """

    modalities = ("text", "image")
    reads = "pooled"

    def __init__(
        self,
        rule: Literal["log-probabilities", "probabilities", "logits", "learned"] = "log-probabilities",
        training: Literal["joint", "separate"] = "joint",
        hidden: int = 128,
        text_weight: float = 0.5,
    ) -> None:
        check_at_least(1, "late", hidden=hidden)
        if not 0 <= text_weight <= 1:
            raise OptionError(f"late: text_weight must lie in 0…1, not {text_weight}")
        if rule == "learned" and text_weight != 0.5:
            raise OptionError("late: text_weight is for fixed rules; the rule 'learned' finds its own")
        self.rule, self.training, self.hidden, self.text_weight = rule, training, hidden, text_weight

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """The module; both heads start as text-only and image-only do."""
        from harness_fusion.networks import decision

        text_head, image_head = build_unimodal_heads(text, image, classes, dropout, self.hidden)
        separate = self.training == "separate"
        if self.rule == "learned":
            return decision.LearnedLateNetwork(text_head, image_head, separate)
        return decision.LateNetwork(text_head, image_head, self.rule, self.text_weight, separate)


class Oracle:
    """A bound: right wherever text-only or image-only, each trained alone, is right.

    No late fusion that picks one of the two answers can be better. It needs the labels.

    Args:
        hidden: width of each head's hidden layer.
    """

    modalities = ("text", "image")
    reads = "pooled"
    bound = True

    def __init__(self, hidden: int = 128) -> None:
        check_at_least(1, "oracle", hidden=hidden)
        self.hidden = hidden

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """The module; both heads start as text-only and image-only do."""
        from harness_fusion.networks.decision import OracleNetwork

        return OracleNetwork(*build_unimodal_heads(text, image, classes, dropout, self.hidden))


def build_unimodal_heads(text: int, image: int, classes: int, dropout: float, hidden: int) -> list[nn.Module]:
    """A text-only and an image-only head, each with the initial values that it has as an arm of its own."""
    import torch

    from harness_fusion.fusion_head import FusionHead
    from harness_fusion.methods.unimodal import ImageOnly, TextOnly

    state = torch.get_rng_state()
    heads: list[nn.Module] = []
    for method in (TextOnly(hidden), ImageOnly(hidden)):
        torch.set_rng_state(state)
        heads.append(FusionHead(method.build(text, image, classes, dropout), classes, dropout))
    return heads
