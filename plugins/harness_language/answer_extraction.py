"""Reads a choice, yes or no, or a short answer from what a model said; what can't be read is None, never drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from string import ascii_uppercase

from harness_language.conversations import ModelAnswer

LETTERS: tuple[str, ...] = tuple(ascii_uppercase)

Fold = Callable[[str], str]
"""What makes texts comparable: case is ignored, unless choices differ by it alone."""

_OPEN, _CLOSE = r"[\s\"'“‘(\[*_`]*", r"[\s\"'”’)\]*_`.,:;!]*"
_ANSWER_IS = re.compile(r"\banswer\s*(?:is|would be|:|=)\s*:?\s*(?:option\b|choice\b)?", re.IGNORECASE)
_ANSWER_FIRST = re.compile(
    r"^(?:the\s+)?(?:short\s+|final\s+|correct\s+)?answer\s*(?:is\s*:?|:)\s*", re.IGNORECASE
)
_NEGATION = re.compile(
    r"(?:\b(?:not|neither|nor|never|no|without)|n['’]t)\s+(?:an?\s+|the\s+)?$", re.IGNORECASE
)
_ARTICLE = re.compile(r"(?:an?|the)\s+", re.IGNORECASE)
_REASON = re.compile(r"\s+(?:because|since|as|for|and|which|with)\b", re.IGNORECASE)
_OWN_WORD = re.compile(r"(?:^|[\s\"'“‘(\[*_`])(yes|no)(?=[\"'”’)\]*_`]*(?:[.,:;!?\n]|$))")
_FIRST_WORD = re.compile(rf"{_OPEN}(yes|no)\b(?!-|['’]\w|\s+(?:idea|way|clue|information|doubt)\b)")


def extract_choice(text: str, choices: Sequence[str], labels: Sequence[str] = LETTERS) -> int | None:
    """Return the index of the choice that a text gives, or None if it can't be told.

    The text is read in this order: it is a choice, word by word (as that of a model that was restricted to them); it
    is a label alone, or a label set off by `.`, `)` or `:` before its own choice; its last "answer is X" (or "answer:
    X") names a label or a choice; a single choice is found in it as whole words, longer ones first, negated ones
    ("not a dog") left out. The article in "A dog" is no label. Choices of yes and no alone are read by
    `extract_yes_no`. Case counts only where choices differ by it alone (mW, MW). Choices with equal texts count as the
    first of them.

    Args:
        text: what the model said.
        choices: the choices, in the order shown.
        labels: what they were labelled with; empty if they were shown without labels.
    """
    fold = _choose_fold(choices)
    folded = [fold(choice.strip()) for choice in choices]
    said = text.strip()
    labels = labels[: len(choices)]
    if sorted(folded) == ["no", "yes"]:
        labelled = _read_lone_label(said, labels)
        read = extract_yes_no(text)
        return labelled if read is None else folded.index(read)
    as_text = folded.index(fold(said)) if said and fold(said) in folded else None
    as_label = _read_lone_label(said, labels)
    if as_text is not None or as_label is not None:
        different = (
            None not in (as_text, as_label) and as_text != as_label
        )  # the choices are letters themselves
        return None if different else as_text if as_text is not None else as_label
    set_off = _read_label_set_off(said, labels)
    if set_off is not None:
        named = _find_only_choice(said[said.index(labels[set_off]) + 1 :], folded, fold)
        return set_off if named in (None, set_off) else None
    *_, last = (None, *_ANSWER_IS.finditer(text))
    if last and (after := _list_after(text[last.end() :], folded, labels, fold)):
        return after.pop() if len(after) == 1 else None
    return _find_only_choice(text, folded, fold)


def extract_yes_no(text: str) -> str | None:
    """Return "yes" or "no", or None if a text says neither or both.

    Read in this order: the last "answer is X"; its first word; the only yes or no that stands as a word of its own,
    before punctuation or the end. Sentences that only imply an answer ("There isn't one.", "There is one.") are not
    interpreted, in neither direction.
    """
    lowered = text.lower().strip()
    *_, last = (None, *_ANSWER_IS.finditer(lowered))
    if last and (found := _FIRST_WORD.match(lowered[last.end() :])):
        return found[1]
    own = {match[1] for match in _OWN_WORD.finditer(lowered)}
    if first := _FIRST_WORD.match(lowered):
        own.add(first[1])
    return own.pop() if len(own) == 1 else None


def extract_short_answer(text: str) -> str | None:
    """Return the first line that holds anything, without "The answer is" at its beginning; None if there is none."""
    lines = (_ANSWER_FIRST.sub("", line.strip(), count=1) for line in text.splitlines())
    return next((line.strip() for line in lines if line.strip()), None)


def tell_outcome(answer: ModelAnswer, extracted: object) -> str:
    """Return what became of an answer: its status, or "unparsed" if nothing was extracted from one that is ok."""
    return "unparsed" if answer.status == "ok" and extracted is None else answer.status


def _choose_fold(choices: Sequence[str]) -> Fold:
    different = {choice.strip() for choice in choices}
    return str.casefold if len({text.casefold() for text in different}) == len(different) else str


def _read_lone_label(said: str, labels: Sequence[str]) -> int | None:
    """Return the label that is all that was said, but for punctuation; single letters in either case."""
    for index, label in enumerate(labels):
        if re.fullmatch(rf"{_OPEN}(?:option\s+|choice\s+)?{re.escape(label)}{_CLOSE}", said, re.IGNORECASE):
            return index
    return None


def _read_label_set_off(said: str, labels: Sequence[str]) -> int | None:
    """Return the label at the beginning that punctuation sets off from what follows: "B. dog", "(B) dog"."""
    for index, label in enumerate(labels):
        if re.match(rf"{_OPEN}{re.escape(label)}(?:[*_`]*[.:)\]]|\s+-)[*_`]*\s+\S", said):
            return index
    return None


def _list_after(rest: str, folded: Sequence[str], labels: Sequence[str], fold: Fold) -> set[int]:
    """Return the choices named right after "answer is", by label and text; two if these contradict each other."""
    rest = re.sub(rf"^{_OPEN}", "", rest)
    named = _read_choice_at_start(rest, folded, fold)
    for index, label in enumerate(labels):
        if not (found := re.match(rf"{re.escape(label)}(?![\w'’-])", rest)):
            continue
        after = rest[found.end() :]
        if label in ("A", "I") and re.match(r"\s+\w", after) and not _REASON.match(after):
            continue  # "the answer is A large dog": an article, not a label
        beside = _read_choice_at_start(re.sub(r"^[\s.:)\]*_`-]*", "", after), folded, fold)
        return {i for i in (index, named, beside) if i is not None}
    return set() if named is None else {named}


def _read_choice_at_start(text: str, folded: Sequence[str], fold: Fold) -> int | None:
    """Return the longest choice that a text begins with, perhaps after an article."""
    whole = fold(text)
    for said in (whole, _ARTICLE.sub("", whole, count=1) if _ARTICLE.match(whole) else whole):
        fitting = [choice for choice in folded if choice and _match_choice(choice).match(said)]
        if fitting:
            return folded.index(max(fitting, key=len))
    return None


def _find_only_choice(text: str, folded: Sequence[str], fold: Fold) -> int | None:
    """Return the only choice whose text is found, longer ones first; None if there are none or several."""
    rest, found = fold(text), set[str]()
    for choice in sorted(set(folded), key=len, reverse=True):
        if not choice:
            continue
        pattern = _match_choice(choice)
        if any(not _NEGATION.search(rest[: match.start()]) for match in pattern.finditer(rest)):
            found.add(choice)
        rest = pattern.sub(lambda match: "\0" * len(match[0]), rest)
    return folded.index(found.pop()) if len(found) == 1 else None


def _match_choice(choice: str) -> re.Pattern[str]:
    """Return a pattern of a choice as whole words; "2" is not found in "2.5", "dog" not in "hot-dog"."""
    before = r"(?<![\w-])(?<!\d[.,:])" if re.match(r"\w", choice) else ""
    after = r"(?![\w-]|[.,:]\d|['’]\w)" if re.search(r"\w$", choice) else ""
    return re.compile(before + re.escape(choice) + after)
