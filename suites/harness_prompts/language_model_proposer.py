"""A language model as the proposer of prompts: the question it is asked and the parsing of its answer."""

from __future__ import annotations

import re

from harness_language.budgets import Message
from harness_language.transcript import ChatModel, Transcript
from harness_prompts.prompt_search import PLACEHOLDER, ProposalRequest

CLASSES_SHOWN = 40
_MARKED = re.compile(r"<INS>(.*?)</INS>", re.DOTALL | re.IGNORECASE)


class LanguageModelProposer:
    """Asks a chat model for prompts, showing it the best so far with their scores.

    After an answer without a marked prompt it asks again, up to `patience` times; then the round stays
    without proposals, and the search continues.
    """

    def __init__(self, chat: ChatModel | Transcript, about: str = "", patience: int = 2) -> None:
        self.chat, self.about, self.patience = chat, about, patience

    def propose(self, request: ProposalRequest) -> list[str]:
        """Return the prompts in the model's answer. Raises OutOfBudget and Unavailable as the chat does."""
        messages = write_question(request, self.about)
        for _ in range(self.patience + 1):
            if found := extract_prompts(self.chat.ask(messages).text):
                return found
        return []


def write_question(request: ProposalRequest, about: str = "") -> list[Message]:
    """Return the messages of one round: the task, the classes, the scored prompts from worst to best."""
    names = ", ".join(request.class_names[:CLASSES_SHOWN])
    more = (
        f" and {len(request.class_names) - CLASSES_SHOWN} more"
        if len(request.class_names) > CLASSES_SHOWN
        else ""
    )
    tried = "\n".join(
        f"prompt: {s.prompt}\naccuracy: {100 * s.accuracy:.1f}, loss: {s.loss:.3f}" for s in request.history
    )
    system = (
        "You write prompts for an image classifier that compares pictures with sentences. In a prompt, "
        f"{PLACEHOLDER} stands for the class name. A good prompt has a high accuracy and a low loss."
    )
    user = "\n\n".join(
        part
        for part in (
            f"The classes: {names}{more}.",
            about,
            f"Prompts tried so far, the best last:\n{tried}",
            f"Write {request.count} new prompts that differ from all of these and do better. Each must contain "
            f"{PLACEHOLDER} once, in at most 20 words. Put each between <INS> and </INS>.",
        )
        if part
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def extract_prompts(text: str) -> list[str]:
    """Return the non-empty texts between `<INS>` and `</INS>`, in order."""
    return [found.strip() for found in _MARKED.findall(text) if found.strip()]
