"""Log-probabilities of continuations, with the prompt computed once and its cache copied."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from harness import DataError
from harness_language.contracts import ContinuationScore
from harness_transformers.question_batches import Prompt, run_halving

if TYPE_CHECKING:
    import torch


def tokenize_continuations(tokenizer: Any, prompt: Prompt, continuations: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each continuation, as they are when it is tokenised together with the prompt.

    Raises DataError, naming the question, for an empty continuation, and for one that changes the prompt's own last
    tokens ("Answer: " and "red" become other tokens than "Answer: red"): its likelihood would be that of a text the
    network never sees.
    """
    before = _list_tokens(tokenizer, prompt.text)
    found = []
    for text in continuations:
        joint = _list_tokens(tokenizer, prompt.text + text)
        where = f"question '{prompt.question.id}': the continuation {text!r}"
        if len(joint) <= len(before):
            raise DataError(f"{where} has no tokens of its own")
        if joint[: len(before)] != before:
            raise DataError(
                f"{where} merges with the end of the prompt, {prompt.text[-12:]!r}, into other tokens: move the blank "
                "between them from one to the other"
            )
        found.append(joint[len(before) :])
    return found


def _list_tokens(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def score_next_tokens(
    network: Any, inputs: Mapping[str, torch.Tensor], candidates: Sequence[Sequence[int]]
) -> list[list[ContinuationScore]]:
    """Return the scores of single tokens after each prompt of a batch, which is padded on the left."""
    chances, _ = _read_prompts(network, inputs)
    return [_score_choices(row, tokens) for row, tokens in zip(chances, candidates, strict=True)]


def score_continuations(
    network: Any, inputs: Mapping[str, torch.Tensor], continuations: Sequence[Sequence[int]], at_once: int
) -> list[ContinuationScore]:
    """Return the scores of continuations of one prompt; `at_once` of them are computed together.

    The prompt with its images is computed once. Its cache grows in place with whatever follows, so each batch of
    continuations gets a copy.
    """
    chances, cache = _read_prompts(network, inputs)
    scores = _score_choices(chances[0], [tokens[0] for tokens in continuations])
    longer = sorted(
        (n for n, own in enumerate(continuations) if len(own) > 1), key=lambda n: len(continuations[n])
    )
    rest = run_halving([continuations[n] for n in longer], at_once, partial(_score_rest, network, cache))
    for n, (total, greedy) in zip(longer, rest, strict=True):
        first = scores[n]
        scores[n] = ContinuationScore(first.total + total, len(continuations[n]), first.greedy and greedy)
    return scores


def _score_rest(network: Any, cache: Any, continuations: Sequence[Sequence[int]]) -> list[tuple[float, bool]]:
    """Return the log-probability of all but the first token of each continuation, and whether each was the likeliest."""
    import torch

    longest = max(map(len, continuations))
    # no mask is needed: the prompt stands alone, and what pads on the right follows all that is scored
    ids = torch.tensor([[*own, *own[-1:] * (longest - len(own))] for own in map(list, continuations)])
    ids = ids.to(network.device)
    with torch.inference_mode():
        grown = copy.deepcopy(cache)
        grown.batch_repeat_interleave(len(ids))
        out = network(
            input_ids=ids[:, :-1],
            use_cache=True,
            **{_name_cache(network): grown},
        )
        chances = out.logits.float().log_softmax(-1)
        likeliest = (chances.argmax(-1) == ids[:, 1:]).tolist()
        totals = chances.gather(-1, ids[:, 1:, None]).squeeze(-1).double().tolist()
    lengths = [len(own) - 1 for own in continuations]
    return [(sum(t[:n]), all(g[:n])) for t, g, n in zip(totals, likeliest, lengths, strict=True)]


def _score_choices(chances: torch.Tensor, tokens: Sequence[int]) -> list[ContinuationScore]:
    """Return the scores of single tokens, given the log-probabilities V of all."""
    likeliest, values = int(chances.argmax()), chances[list(tokens)].tolist()
    return [
        ContinuationScore(total, 1, token == likeliest) for token, total in zip(tokens, values, strict=True)
    ]


def _read_prompts(network: Any, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    """Return the log-probabilities B×V of the token after each prompt, and the cache of the prompts."""
    import torch

    with torch.inference_mode():
        # `generate` knows each architecture's positions, masks and cache; it does not feed the token it finds
        out = network.generate(
            **inputs, do_sample=False, max_new_tokens=1, return_dict_in_generate=True, output_logits=True
        )
    cache = out["cache"] if "cache" in out else out["past_key_values"]
    return out.logits[0].float().log_softmax(-1), cache


def _name_cache(network: Any) -> str:
    """Return what this version of transformers calls the argument that holds the cache."""
    return "cache" if "cache" in inspect.signature(network.forward).parameters else "past_key_values"
