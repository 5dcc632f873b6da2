"""What a judge is asked, and how its verdicts are read; what can't be read is None, never drawn.

Answers are quoted line by line, so that none can pass for an instruction's end, and stand without names. A verdict is a
line of its own at the end. Answers of a judge that were refused, failed or cut have no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness_language.conversations import ImagePart, ModelAnswer, Question, Turn

CHECKED = ("supported", "contradicted", "not visible")
"""What a judge says about a claim and the images."""

STATED = ("stated", "not stated")
"""What a judge says about a claim and a text."""

_LEFT, _RIGHT = r"[\s*_`\"'\[(]*", r"[\s*_`\"'\])]*\.?[\s*_`\"'\])]*"
_CLAIM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+(.*\S)\s*$")


def ask_to_compare(
    id: str,
    images: Sequence[ImagePart],
    question: str,
    pair: tuple[str, str],
    reference: str,
    guidance: str,
    tokens: int,
) -> Question:
    """Return the question which of two answers is better; the pair stands in the order in which it is shown."""
    text = "Two answers were given to a question. Which one is better? What counts is whether it is true"
    text += " of what the images show" if images else ""
    text += " and answers the question; its length, style and place do not count."
    shown = {"Question": question, "Accepted answer": reference, "Answer 1": pair[0], "Answer 2": pair[1]}
    return _write(id, images, text, guidance, shown, "'Verdict: 1', 'Verdict: 2' or 'Verdict: tie'", tokens)


def ask_to_mark(
    id: str, images: Sequence[ImagePart], question: str, answer: str, criterion: str, scale: int, reference: str,
    guidance: str, tokens: int,
) -> Question:  # fmt: skip
    """Return the question which mark from 1 to `scale` an answer deserves by one criterion."""
    text = f"Mark the answer to a question from 1 (worst) to {scale} (best) by this criterion alone: {criterion.rstrip('.')}."
    shown = {"Question": question, "Accepted answer": reference, "Answer": answer}
    ending = f"'Mark: ' with a whole number from 1 to {scale}"
    return _write(id, images, text, guidance, shown, ending, tokens)


def ask_to_split(id: str, question: str, answer: str, tokens: int) -> Question:
    """Return the request to split an answer into claims; no image is shown, so that none is left out as false."""
    text = (
        "Split the answer to a question into atomic claims: short sentences that are true or false on their own, "
        "understandable without the others. Leave out nothing that it claims, add nothing, and correct nothing. Write "
        "each on a line that begins with '- '. If it claims nothing, write 'none'."
    )
    return _write(id, (), text, "", {"Question": question, "Answer": answer}, "", tokens)


def ask_to_check(id: str, images: Sequence[ImagePart], claim: str, guidance: str, tokens: int) -> Question:
    """Return the question whether images support a claim, contradict it, or do not show it."""
    text = "Do the images support this claim, contradict it, or not show whether it is true?"
    ending = "'Verdict: supported', 'Verdict: contradicted' or 'Verdict: not visible'"
    return _write(id, images, text, guidance, {"Claim": claim}, ending, tokens)


def ask_to_find(id: str, answer: str, claim: str, tokens: int) -> Question:
    """Return the question whether a text says what a claim says."""
    ending = "'Verdict: stated' or 'Verdict: not stated'"
    return _write(
        id, (), "Does the text state this claim?", "", {"Text": answer, "Claim": claim}, ending, tokens
    )


def read_preference(answer: ModelAnswer) -> str | None:
    """Return "1", "2" or "tie", or None."""
    return _read_ending(answer, "verdict", ("1", "2", "tie"), "(?:answer )?")


def read_mark(answer: ModelAnswer, scale: int) -> int | None:
    """Return the mark, or None for anything but a whole number from 1 to `scale`, perhaps as "4/5"."""
    found = _read_ending(answer, "mark", [str(n) for n in range(1, scale + 1)], after=rf"(?:\s*/\s*{scale})?")
    return None if found is None else int(found)


def read_claim_verdict(answer: ModelAnswer, known: Sequence[str]) -> str | None:
    """Return which of the known verdicts on a claim was given, or None."""
    return _read_ending(answer, "verdict", known)


def read_claims(answer: ModelAnswer) -> list[str] | None:
    """Return the claims, none for "none"; None if there is no list. A claim that is there twice is one."""
    if answer.status != "ok":
        return None
    found = [match[1] for line in answer.text.splitlines() if (match := _CLAIM.match(line))]
    if not found:
        return [] if answer.text.strip(" \n.-*'\"").casefold() == "none" else None
    return [] if [claim.strip(".").casefold() for claim in found] == ["none"] else list(dict.fromkeys(found))


def _read_ending(
    answer: ModelAnswer, word: str, known: Sequence[str], before: str = "", after: str = ""
) -> str | None:
    """Return the known value that the lines "word: value" (or the whole text) give; None if they differ."""
    if answer.status != "ok":
        return None
    value = f"{_LEFT}{before}({'|'.join(map(re.escape, known))}){after}{_RIGHT}"
    said = re.findall(rf"^{_LEFT}{word}{_LEFT}:(.*)$", answer.text, re.IGNORECASE | re.MULTILINE)
    found = {
        m[1].casefold() if (m := re.fullmatch(value, s, re.IGNORECASE)) else None
        for s in said or [answer.text]
    }
    return found.pop() if len(found) == 1 else None


def _write(
    id: str,
    images: Sequence[ImagePart],
    text: str,
    guidance: str,
    shown: dict[str, str],
    ending: str,
    tokens: int,
) -> Question:
    blocks = [text + (f" {guidance}" if guidance else "")]
    blocks += [f"{name}:\n{_quote(said)}" for name, said in shown.items() if said]
    if ending:
        blocks.append(f"End with a line of its own: {ending}.")
    return Question(id, (Turn("user", (*images, "\n\n".join(blocks))),), tokens)


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())
