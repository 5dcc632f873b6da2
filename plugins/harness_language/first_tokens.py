"""Likelihoods of continuations of one token, as far as a server lists its likeliest first tokens."""

from __future__ import annotations

import math

from harness import DataError, Unavailable
from harness_language.completions import Completion, TokenChances
from harness_language.contracts import ContinuationScore
from harness_language.conversations import Question


def read_chances(found: Completion) -> TokenChances:
    """Return the listed first tokens. Raises Unavailable if the server lists none."""
    if found.chances is None:
        raise Unavailable(
            "the server lists no top_logprobs: it can't score continuations; set likelihood = 'none'"
        )
    return found.chances


def fail_likelihood(question: Question, said: str) -> TokenChances:
    """Raise Unavailable: a likelihood that did not come can't be left out of a ranking."""
    raise Unavailable(f"question '{question.id}': no likelihood: {said}")


def score_first_token(text: str, chances: TokenChances, question: Question) -> ContinuationScore:
    """Return the score of a continuation of one token, blanks around it aside; minus infinity if it is not listed.

    Raises DataError if it seems to have several tokens: a listed one is its beginning.
    """
    wanted = text.strip()
    listed = [(token.strip(), chance) for token, chance in chances]
    found = [chance for token, chance in listed if token == wanted]
    if not wanted or (not found and any(token and wanted.startswith(token) for token, _ in listed)):
        raise DataError(
            f"question '{question.id}': the continuation {text!r} is not a single token of this server, whose likelihood "
            "alone it tells: use letters, or a local model"
        )
    if not found:
        return ContinuationScore(-math.inf, 1, False)
    highest = max(found)
    total = highest + math.log(math.fsum(math.exp(chance - highest) for chance in found))
    return ContinuationScore(total, 1, listed[0][0] == wanted)
