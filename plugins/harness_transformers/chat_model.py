"""The model plugin `hf-chat`: a language model of transformers that gets questions without their images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness_transformers.pretrained import Dtype
from harness_transformers.question_batches import Prompt
from harness_transformers.speaking_model import Restriction, SpeakingModel, digest_tokenizer


class HfChat(SpeakingModel):
    """A language model of transformers with a chat template: the blind row beside models that see images.

    Images are left out of its questions, and the texts of a turn joined. Only safetensors are read, and no code of
    the model's repository is run.

    Args:
        model: a name on the hub, such as `Qwen/Qwen2.5-3B-Instruct`, or a folder as `save_pretrained` writes it.
        revision: branch, tag or commit on the hub.
        dtype: of the weights; `auto` is as they are saved.
        system_prompt: a system turn for all questions that have none.
        chat_template: a file with a template in Jinja, in place of the model's own.
        temperature: 0 takes the likeliest answer; above, tokens are drawn.
        seed: of the draws.
        restriction: `choices` lets a question with choices have no other answer, token by token; `none` ignores them.
        batch_size: questions computed at once, halved where memory runs out.
    """

    sees_images = False

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        dtype: Dtype = "auto",
        system_prompt: str | None = None,
        chat_template: Path | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        restriction: Restriction = "none",
        batch_size: int = 8,
    ) -> None:
        super().__init__(
            "hf-chat",
            model,
            revision,
            dtype,
            system_prompt,
            chat_template,
            temperature,
            seed,
            restriction,
            batch_size,
        )

    def _load_helpers(self) -> tuple[Any, Any]:
        tokenizer = self._source.load_helper("AutoTokenizer")
        return tokenizer, tokenizer

    def _load_network(self) -> Any:
        return self._source.load_network("AutoModelForCausalLM", self.dtype)

    def _list_image_tokens(self) -> Collection[str]:
        return ()

    def _encode(self, batch: Sequence[Prompt]) -> Mapping[str, Any]:
        texts = [prompt.text for prompt in batch]
        # a chat template writes all special tokens itself
        found: Mapping[str, Any] = self._tokenizer(
            texts,
            add_special_tokens=False,
            padding=True,
            padding_side="left",
            truncation=False,
            return_tensors="pt",
        )
        return {name: found[name] for name in ("input_ids", "attention_mask")}

    def _digest_preparation(self) -> str:
        return digest_tokenizer(self._tokenizer)
