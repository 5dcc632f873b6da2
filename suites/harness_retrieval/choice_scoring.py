"""Scores of captions: by similarity to the image, by plausibility, or by the likelihood of the text alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from harness import DataError, EncodesImages, EncodesTexts, Job, has
from harness.inference.evaluate import outputs
from harness.inference.prompts import ALIKE, describe_cut, find_cut
from harness.inference.zeroshot import encode_prompts, similarity_of
from harness_language.contracts import ScoresContinuations
from harness_language.conversations import Question, Turn
from harness_retrieval.choice_options import Normalisation
from harness_retrieval.text_contracts import JudgesTexts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Way = Literal["images", "plausibility", "likelihood"]

TEXTS_AT_ONCE = 256


def find_way(model: Any) -> Way | None:
    """Return how a model scores captions: against `images`, by `plausibility`, or by `likelihood` of the text; or None.

    Likelihood is asked of language models that see no images; those that do answer questions, which is another
    protocol.
    """
    if has(model, EncodesImages) and has(model, EncodesTexts):
        return "images"
    if has(model, JudgesTexts):
        return "plausibility"
    if has(model, ScoresContinuations) and not getattr(model, "sees_images", True):
        return "likelihood"
    return None


def list_texts(choices: Sequence[Sequence[str]]) -> list[str]:
    """Return all captions, each once, in order."""
    return list(dict.fromkeys(text for own in choices for text in own))


def embed_choices(
    job: Job, split_name: str, texts: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float | None]:
    """Return embeddings of a split's images and of texts, from the cache or computed, and the images per second."""
    images, rate = outputs(job, "image embeddings", split_name)
    words = job.features(
        "text embeddings",
        None,
        lambda: encode_prompts(job.model, texts).cpu().numpy(),
        images=False,
        texts=list(texts),
    )
    return images, words, rate


def score_by_similarity(
    job: Job, split_name: str, choices: Sequence[Sequence[str]]
) -> tuple[list[list[float]], float | None]:
    """Return how similar each sample's image is to each of its captions, and the images encoded per second.

    Similarities are cosines, or what the model declares (products are scaled to embeddings of mean length 1), in
    float64 from float32 embeddings. Captions whose embeddings differ by rounding alone (to the model they are the same
    tokens, or were cut to the same) have the same score, with a remark. Raises DataError, naming the sample, for an
    embedding that is not finite.
    """
    split, texts = job.splits(split_name), list_texts(choices)
    images, words, rate = embed_choices(job, split_name, texts)
    place = {text: n for n, text in enumerate(texts)}
    similarity = similarity_of(job.model)
    scale = _to_directions if similarity == "cosine" else _to_mean_length
    seen, compared = scale(images), scale(words)
    scores, alike = [], 0
    for row, own in enumerate(choices):
        at = [place[text] for text in own]
        first = find_first_alike(compared[at])
        alike += any(n != m and own[n] != own[m] for n, m in enumerate(first))
        if similarity == "own":
            found = _ask_own_score(job, images[row], words[at])
        else:
            # one sum per caption: its last bits must not depend on the captions beside it
            found = [float(np.dot(compared[n], seen[row])) for n in at]
        if not np.isfinite(found).all():
            raise DataError(
                f"sample '{split.ids[row]}': the embedding of its image or of a caption is not finite"
            )
        scores.append([found[n] for n in first])
    if alike:
        job.remark(
            f"{alike} of {len(choices)} samples have different captions that are the same to the model, and tie"
        )
    if cut := int(find_cut(job.model, texts).sum()):
        job.remark(describe_cut(job.model, "captions", cut, len(texts)))
    return scores, rate


def find_first_alike(rows: NDArray[np.float64]) -> list[int]:
    """Return for each of K embeddings K×D of a length around 1 the first one that equals it up to rounding."""
    found: list[int] = []
    for n, one in enumerate(rows):
        same = (m for m in dict.fromkeys(found) if np.linalg.norm(one - rows[m]) <= ALIKE)
        found.append(next(same, n))
    return found


def score_by_plausibility(job: Job, choices: Sequence[Sequence[str]]) -> list[list[float]]:
    """Return how plausible each caption is on its own. Raises DataError, naming it, for one without a number."""
    texts = list_texts(choices)
    found = []
    for at in range(0, len(texts), TEXTS_AT_ONCE):
        part = texts[at : at + TEXTS_AT_ONCE]
        given = list(job.model.plausibility(part))
        if len(given) != len(part):
            raise DataError(f"the model judged {len(given)} of {len(part)} captions")
        found += given
        job.advance(len(found), len(texts))
    return _spread(texts, found, choices)


def score_by_likelihood(
    job: Job, choices: Sequence[Sequence[str]], prompt: str, normalise: Normalisation
) -> list[list[float]]:
    """Return the log-likelihood in nats of each caption as the answer to `prompt`, whole or per token."""
    texts = list_texts(choices)
    found: list[float] = []
    for at in range(0, len(texts), TEXTS_AT_ONCE):
        part = texts[at : at + TEXTS_AT_ONCE]
        # the captions of one question share the computation of its prompt
        question = Question(f"captions {at + 1} to {at + len(part)}", (Turn("user", (prompt,)),))
        given = job.model.loglikelihood([question], [[f" {text}" for text in part]])[0]
        if len(given) != len(part):
            raise DataError(f"the model scored {len(given)} of {len(part)} captions")
        found += [s.total if normalise == "sum" else s.total / max(s.tokens, 1) for s in given]
        job.advance(len(found), len(texts))
    return _spread(texts, found, choices)


def _spread(
    texts: Sequence[str], found: Sequence[float], choices: Sequence[Sequence[str]]
) -> list[list[float]]:
    scores = dict(zip(texts, map(float, found), strict=True))
    for text, score in scores.items():
        if score != score:
            raise DataError(f"the model's score of the caption '{text}' is not a number")
    return [[scores[text] for text in own] for own in choices]


def _to_directions(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return rows of length 1 in float64; zeros stay zeros."""
    exact = np.asarray(rows, np.float64)
    found: NDArray[np.float64] = exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-12)
    return found


def _to_mean_length(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return rows in float64 with a mean length of 1, whose products are in the order of the rows' own."""
    exact = np.asarray(rows, np.float64)
    found: NDArray[np.float64] = exact / max(float(np.linalg.norm(exact, axis=1).mean()), 1e-12)
    return found


def _ask_own_score(job: Job, image: NDArray[Any], words: NDArray[Any]) -> list[float]:
    import torch

    with torch.inference_mode():
        both = (torch.from_numpy(np.array(part)).to(job.device) for part in (image[None], words))
        found = job.model.score(*both).float().cpu().numpy()
    if found.shape != (1, len(words)):
        raise DataError(f"the model's score returned {found.shape} for 1 image and {len(words)} captions")
    return cast("list[float]", found[0].astype(np.float64).tolist())
