"""Late fusion of two unimodal heads, and the oracle as its upper bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness import OptionError
from harness_fusion.methods.option_checks import check_at_least

if TYPE_CHECKING:
    from torch import nn


class Late:
    """Decision fusion: a mean of the scores of a text head and an image head, of the modalities present.

    Args:
        rule: the mean of log-probabilities, of probabilities, of logits, or of log-probabilities with
            `learned` weights (one per modality, softmax, initially equal). Logits and log-probabilities
            differ by a constant per head and sample, so their means yield the same probabilities and the
            same training; a mean of probabilities does not.
        training: `joint` trains both heads on the fused loss; `separate` trains each alone with its own early
            stopping, exactly like text-only and image-only, then fuses (learned weights are fitted on the
            training part with the heads frozen).
        hidden: width of each head's hidden layer.
        text_weight: fixed weight of the text, from 0 to 1; the image gets the rest.
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
            raise OptionError("late: text_weight is for fixed rules; the rule 'learned' learns its own")
        self.rule, self.training, self.hidden, self.text_weight = rule, training, hidden, text_weight

    def build(self, text: int, image: int, classes: int, dropout: float) -> nn.Module:
        """Return the module; both heads start with the weights of text-only and image-only."""
        from harness_fusion.networks import decision

        text_head, image_head = build_unimodal_heads(text, image, classes, dropout, self.hidden)
        separate = self.training == "separate"
        if self.rule == "learned":
            return decision.LearnedLateNetwork(text_head, image_head, separate)
        return decision.LateNetwork(text_head, image_head, self.rule, self.text_weight, separate)


class Oracle:
    """A bound: correct wherever text-only or image-only, each trained alone, is correct.

    No late fusion that picks one of the two predictions can be better. It needs the labels.

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
        """Return the module; both heads start with the weights of text-only and image-only."""
        from harness_fusion.networks.decision import OracleNetwork

        return OracleNetwork(*build_unimodal_heads(text, image, classes, dropout, self.hidden))


def build_unimodal_heads(text: int, image: int, classes: int, dropout: float, hidden: int) -> list[nn.Module]:
    """Return a text-only and an image-only head, each with the initial weights of its unimodal arm."""
    import torch

    from harness_fusion.fusion_head import FusionHead
    from harness_fusion.methods.unimodal import ImageOnly, TextOnly

    state = torch.get_rng_state()
    heads: list[nn.Module] = []
    for method in (TextOnly(hidden), ImageOnly(hidden)):
        torch.set_rng_state(state)
        heads.append(FusionHead(method.build(text, image, classes, dropout), classes, dropout))
    return heads
