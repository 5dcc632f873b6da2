"""Arms of the protocol `text-study`: which inputs a row has, and what is added to them or takes the model's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness import OptionError, did_you_mean

Supervised = Literal["knn", "logistic", "mlp"]

INPUTS = ("title", "frames")
ADDED = ("neighbours", "hypotheses", "prediction")
BASELINES: tuple[Supervised, ...] = ("knn", "logistic", "mlp")


@dataclass(frozen=True)
class Arm:
    """What the items are shown by, what is added in the prompt, and the baseline that predicts instead of the model."""

    title: bool
    frames: bool
    neighbours: bool = False
    hypotheses: bool = False
    prediction: bool = False
    baseline: Supervised | None = None

    @property
    def learns(self) -> bool:
        """Whether it needs the labelled items of the training split."""
        return self.neighbours or self.hypotheses or self.prediction or self.baseline is not None

    @property
    def embeds(self) -> bool:
        """Whether it needs embeddings of the items."""
        return self.neighbours or self.prediction or self.baseline is not None


def parse_arm(text: object) -> Arm:
    """Return the arm that parts joined by `+` name, such as "title+frames+neighbours" or "frames+knn".

    Raises OptionError for an unknown or doubled part, for an arm without inputs, and for a baseline that is not alone
    with its inputs.
    """
    parts = [part.strip() for part in str(text).split("+")]
    known = (*INPUTS, *ADDED, *BASELINES)
    for part in parts:
        if part not in known:
            raise OptionError(
                f"text-study: arm '{text}' has a part '{part}'{did_you_mean(part, known)}; known: {', '.join(known)}"
            )
    if len(set(parts)) < len(parts):
        raise OptionError(f"text-study: arm '{text}' names a part twice")
    if not any(part in INPUTS for part in parts):
        raise OptionError(f"text-study: arm '{text}' shows nothing of an item: add title or frames")
    baselines: list[Supervised] = [name for name in BASELINES if name in parts]
    if baselines and (len(baselines) > 1 or any(part in ADDED for part in parts)):
        raise OptionError(f"text-study: arm '{text}': a baseline stands alone with its inputs")
    return Arm(
        "title" in parts, "frames" in parts, "neighbours" in parts, "hypotheses" in parts, "prediction" in parts,
        baselines[0] if baselines else None,
    )  # fmt: skip
