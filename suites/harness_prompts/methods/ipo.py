"""IPO: a readable prompt found by search, proposed by a language model or a grammar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import OptionError
from harness_prompts.shots import FromShots

if TYPE_CHECKING:
    from harness_few_shot.task import FewShotTask
    from harness_language.budgets import Budget, ChatAnswer
    from harness_language.transcript import ChatModel, Transcript
    from harness_prompts.methods.zero_shot import PromptClassifier
    from harness_prompts.prompt_search import Proposer

Replay = Literal["use", "only", "off"]


class IPO(FromShots):
    """Interpretable prompt optimisation: rounds of prompts, scored on the training shots.

    Every prompt is scored on the same un-augmented training shots by accuracy and mean cross-entropy.
    Source: Du et al., IPO: Interpretable Prompt Optimization for Vision-Language Models, NeurIPS 2024;
    without its image captions.

    Args:
        proposer: `grammar` evolves templates and needs no model; `openai` asks an endpoint with OpenAI's
            protocol; `transformers` runs a model on this machine.
        steps: rounds of proposals.
        proposals: prompts per round.
        keep: how many of the best prompts are remembered and shown to the proposer.
        seed_prompts: initial prompts, with `<CLASS>`.
        about: a sentence about the pictures for the language model.
        language_model: its name at the endpoint, or its name or folder for `transformers`.
        address: the endpoint's; by default $OPENAI_BASE_URL.
        key_variable: the environment variable that holds the key.
        temperature: sampling temperature of the language model; 0 takes the likeliest answer.
        max_tokens: maximum length of an answer, in tokens.
        timeout: seconds to wait for the endpoint's answer.
        retries: further tries after an unusable answer of the endpoint.
        calls: budget of requests, failed tries included; when it is spent, the search ends with its best
            prompt so far.
        tokens: budget of tokens, questions and answers together; it ends the search likewise.
        transcript: folder of stored answers, from which a run is repeated without the model.
        replay: `use` stored answers and ask for the others; `only` use stored ones; `off` asks again.
    """

    transfers = True
    needs_tower = False

    def __init__(
        self,
        proposer: Literal["grammar", "openai", "transformers"] = "grammar",
        steps: int = 100,
        proposals: int = 5,
        keep: int = 20,
        seed_prompts: list[str] | None = None,
        about: str = "",
        language_model: str = "",
        address: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        temperature: float = 1.0,
        max_tokens: int = 400,
        timeout: float = 60.0,
        retries: int = 5,
        calls: int = 1000,
        tokens: int = 1_000_000,
        transcript: Path | None = None,
        replay: Replay = "use",
    ) -> None:
        from harness_prompts.prompt_search import PLACEHOLDER

        if steps < 0 or proposals < 1 or keep < 1:
            raise OptionError("steps must be 0 or more, proposals and keep at least 1")
        if proposer != "grammar" and not language_model:
            raise OptionError(f"the proposer '{proposer}' needs the option 'language_model'")
        if not key_variable.isidentifier():
            # the message does not repeat the value, which may be the key itself in the wrong option
            raise OptionError("key_variable must be the name of the environment variable that holds the key")
        self.seed_prompts = seed_prompts or [f"a photo of a {PLACEHOLDER}."]
        if lost := [p for p in self.seed_prompts if PLACEHOLDER not in p]:
            raise OptionError(f"seed_prompts: '{lost[0]}' has no {PLACEHOLDER}")
        self.proposer, self.steps, self.proposals, self.keep = proposer, steps, proposals, keep
        self.about, self.language_model, self.address = about, language_model, address
        self.key_variable, self.temperature, self.max_tokens = key_variable, temperature, max_tokens
        self.timeout, self.retries, self.calls, self.tokens = timeout, retries, calls, tokens
        self.transcript, self.replay = transcript, replay

    def fingerprint(self) -> str:
        """Return the versions of the draws, the search and the grammar; the transcript's folder is left out."""
        return f"{super().fingerprint()} ipo-1"

    def fit(self, task: FewShotTask) -> PromptClassifier:
        """Search for a prompt; the best becomes a template."""
        from harness_prompts.methods.zero_shot import PromptClassifier
        from harness_prompts.prompt_search import PLACEHOLDER, search_prompts

        kept = self._open_transcript(task)
        found = search_prompts(
            lambda prompt: score_prompt(task, prompt),
            self._make_proposer(task, kept),
            task.class_names,
            steps=self.steps,
            proposals=self.proposals,
            keep=self.keep,
            seeds=self.seed_prompts,
            fits=lambda prompt: fits_tower(task, prompt),
            after_step=lambda step, best: task.report(
                "search", step, {"accuracy": best.accuracy, "loss": best.loss}
            ),
        )
        task.curves["search"] = {
            "step": list(range(len(found.best_by_step))), "best_accuracy": found.best_by_step,
        }  # fmt: skip
        task.notes |= {"selected_on": "training shots", "proposer": self.proposer, **found.notes()}
        if kept is not None:
            task.notes["language_model"] = {
                **kept.identity, "asked": kept.asked, "replayed": kept.replayed, "tokens": kept.tokens,
            }  # fmt: skip
        template = found.best.prompt.replace(PLACEHOLDER, "{}")
        return PromptClassifier(task.texts, [template], task.logit_scale)

    def _make_proposer(self, task: FewShotTask, kept: Transcript | None) -> Proposer:
        from harness_prompts.grammar_proposer import GrammarProposer
        from harness_prompts.language_model_proposer import LanguageModelProposer

        return GrammarProposer(task.seed) if kept is None else LanguageModelProposer(kept, self.about)

    def _open_transcript(self, task: FewShotTask) -> Transcript | None:
        from harness.records.paths import cache_dir
        from harness_language.transcript import Transcript

        if self.proposer == "grammar":
            return None
        folder = self.transcript or cache_dir() / "prompts" / "transcript"
        return Transcript(self._make_chat(task), folder.expanduser(), self.replay, [task.seed, task.shots])

    def _make_chat(self, task: FewShotTask) -> ChatModel:
        from harness_language.budgets import Budget

        if self.replay == "only":
            return UnaskedModel(self._make_identity(task), Budget(self.calls, self.tokens))
        if self.proposer == "openai":
            from harness_language.endpoint import Endpoint

            return Endpoint(
                self.language_model, self.address, self.key_variable, self.timeout, self.retries,
                self.temperature, self.max_tokens, self.calls, self.tokens,
            )  # fmt: skip
        from harness_language.local_model import LocalModel

        return LocalModel(
            self.language_model, self.temperature, self.max_tokens, self.calls, self.tokens, task.seed,
            str(task.device),
        )  # fmt: skip

    def _make_identity(self, task: FewShotTask) -> dict[str, object]:
        identity: dict[str, object] = {
            "model": self.language_model, "temperature": self.temperature, "max_tokens": self.max_tokens,
        }  # fmt: skip
        return identity if self.proposer == "openai" else {**identity, "seed": task.seed}


class UnaskedModel:
    """The identity and budgets of a model that is only replayed, never asked."""

    def __init__(self, identity: dict[str, object], budget: Budget) -> None:
        self.identity, self.budget = identity, budget

    def ask(self, messages: object) -> ChatAnswer:
        """Raise AssertionError: with `replay = "only"` the transcript refuses first."""
        raise AssertionError("a transcript that may only be replayed asked its model")


def score_prompt(task: FewShotTask, prompt: str) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy of a prompt with `<CLASS>` on the training shots."""
    import torch
    import torch.nn.functional as F

    from harness_prompts.methods.zero_shot import PromptClassifier
    from harness_prompts.prompt_search import PLACEHOLDER

    classifier = PromptClassifier(task.texts, [prompt.replace(PLACEHOLDER, "{}")], task.logit_scale)
    with torch.no_grad():
        logits = classifier.logits(task.features, task.class_names)
    right = float((logits.argmax(dim=1) == task.labels).float().mean())
    return right, float(F.cross_entropy(logits, task.labels))


def fits_tower(task: FewShotTask, prompt: str) -> bool:
    """Return whether the prompt fits the text tower with every class name; a cut text may lose the name.

    Models whose tower can't count tokens get 300 characters.
    """
    from harness_prompts.prompt_search import PLACEHOLDER

    texts = [prompt.replace(PLACEHOLDER, name) for name in task.class_names]
    try:
        tower = task.texts.tower
    except OptionError:
        return max(map(len, texts)) <= 300
    return max(tower.count_tokens(texts)) <= tower.context_length
