"""CIDEr-D of captions, by pycocoevalcap."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from harness import DataError, Unavailable
from harness_metrics.answers import Answered, require_answers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|re|ve|ll|d|m))\b")
_WORD = re.compile(r"n't\b|'(?:s|re|ve|ll|d|m)\b|\w+(?:[-.,/]\w+)*")


class Cider:
    """CIDEr-D: similarity of TF-IDF weighted n-grams, n = 1 to 4, to the reference captions; 0 to 10 per caption.

    The scorer is pycocoevalcap's (papers print 100 times its value). Its tokenizer needs Java, so captions are
    split by a rule of this module instead (`split_caption`), which imitates it; values differ a little from those
    with the original tokenizer. Document frequencies are those of the evaluated images' references: values on
    different images, or on different numbers of them, can't be compared, and on a single image it is 0. Each prompt
    is scored on its own. A caption that was refused or failed is empty and scores 0; one that was cut counts as it
    stands. Source: Vedantam et al., CVPR 2015.
    """

    title = "CIDEr-D"
    higher_is_better = True
    bounds = (0.0, 10.0)

    remarks = (
        "captions are split into words by a simple rule in place of the PTB tokenizer, and weighted by the evaluated "
        "images' references: compare only with values made in the same way on the same images",
    )

    def unavailable(self) -> str | None:
        """Return that the package is missing, or None."""
        if find_spec("pycocoevalcap") is None:
            return 'cider needs pycocoevalcap: pip install "vision-harness[captions]"'
        return None

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return each caption's score, N. Raises Unavailable without the package, DataError without references."""
        import numpy as np

        if missing := self.unavailable():
            raise Unavailable(missing)
        from pycocoevalcap.cider.cider_scorer import CiderScorer

        values = np.zeros(len(answers))
        runs: dict[tuple[int, int], list[int]] = {}
        for row, key in enumerate(zip(answers.prompts, answers.orders, strict=True)):
            runs.setdefault(key, []).append(row)
        for rows in runs.values():
            scorer: Any = CiderScorer()
            for row in rows:
                references = [split_caption(text) for text in answers.references[row]]
                if not any(references):
                    raise DataError(f"cider: sample '{answers.ids[row]}' has no reference caption")
                scorer += (split_caption(answers.texts[row]), references)
            # n-grams are counted over images: without any (all references of one word say) nothing can be weighed
            values[rows] = scorer.compute_score()[1]
        return values

    def __call__(self, answers: Answered) -> float:
        """Return the mean over captions."""
        return float(self.per_sample(require_answers(answers, "cider")).mean())


def split_caption(text: str) -> str:
    """Return a caption in lower case, its words separated by blanks, without punctuation.

    Clitics are words ("dog 's", "do n't"); hyphens, points, commas and slashes inside a word stay.
    """
    return " ".join(_WORD.findall(_CLITIC.sub(r" \1", text.lower().replace("’", "'"))))
