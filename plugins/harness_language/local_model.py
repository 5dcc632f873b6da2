"""A chat model on this machine, through the optional package transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import Unavailable
from harness_language.budgets import Budget, ChatAnswer, Message


class LocalModel:
    """A causal language model by name or folder; answers are sampled from a seed.

    Raises Unavailable if transformers or the model's files are missing.
    """

    def __init__(
        self,
        model: str,
        temperature: float = 1.0,
        max_tokens: int = 400,
        calls: int = 1000,
        tokens: int = 1_000_000,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError:
            raise Unavailable("the proposer 'transformers' needs the package transformers") from None
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
            network: Any = AutoModelForCausalLM.from_pretrained(model)
            self._model = network.to(device).eval()
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise Unavailable(f"the language model '{model}' can't be loaded: {reason}") from None
        self.model, self.temperature, self.max_tokens, self.seed = model, temperature, max_tokens, seed
        self.budget = Budget(calls, tokens)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide the answers."""
        return {
            "model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed,
        }  # fmt: skip

    def ask(self, messages: Sequence[Message]) -> ChatAnswer:
        """Return a sampled answer. Raises OutOfBudget when a budget is spent."""
        import torch

        self.budget.check()
        number = self.budget.calls  # replayed answers count too, so a resumed search samples the same
        if getattr(self._tokenizer, "chat_template", None):
            text = self._tokenizer.apply_chat_template(
                [dict(m) for m in messages], tokenize=False, add_generation_prompt=True
            )
        else:
            text = "\n\n".join(m["content"] for m in messages) + "\n\n"
        inputs = self._tokenizer(text, return_tensors="pt").to(self._model.device)
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(self.seed + number)
            out = self._model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=self.temperature > 0,
                temperature=self.temperature or None,
                max_new_tokens=self.max_tokens,
                pad_token_id=self._tokenizer.eos_token_id,
            )
        own = out[0, inputs["input_ids"].shape[1] :]
        answer = ChatAnswer(self._tokenizer.decode(own, skip_special_tokens=True), int(out.shape[1]))
        self.budget.spend(answer)
        return answer
