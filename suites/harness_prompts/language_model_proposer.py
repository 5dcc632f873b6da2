"""A language model as the proposer of prompts: what it is asked, and how its answer is read."""

from __future__ import annotations

import re

from harness_language.endpoint import Message
from harness_language.transcript import ChatModel, Transcript
from harness_prompts.search import PLACEHOLDER, ProposalRequest

CLASSES_SHOWN = 40
_MARKED = re.compile(r"<INS>(.*?)</INS>", re.DOTALL | re.IGNORECASE)


class LanguageModelProposer:
    """Asks a chat model for prompts, showing it the best so far with their scores.

    An answer without any marked prompt is asked again, up to `patience` times in a round; then the
    round brings nothing, and the search goes on.
    """

    def __init__(self, chat: ChatModel | Transcript, about: str = "", patience: int = 2) -> None:
        self.chat, self.about, self.patience = chat, about, patience

    def propose(self, request: ProposalRequest) -> list[str]:
        """The prompts in the model's answer; OutOfBudget and Unavailable come from the chat."""
        messages = write_question(request, self.about)
        for _ in range(self.patience + 1):
            if found := extract_prompts(self.chat.ask(messages).text):
                return found
        return []


def write_question(request: ProposalRequest, about: str = "") -> list[Message]:
    """The messages for one round: the task, the classes, the scored prompts from worst to best."""
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
    """What stands between `<INS>` and `</INS>`, in order, empty ones left out."""
    return [found.strip() for found in _MARKED.findall(text) if found.strip()]
