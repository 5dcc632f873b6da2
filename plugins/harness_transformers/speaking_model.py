"""What models of transformers that speak have in common: prompts, batches, answers, likelihoods, identity."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness import DataError, OptionError, Unavailable
from harness.inference.weights import digest
from harness_language.contracts import ContinuationScore
from harness_language.conversations import ModelAnswer, Question, Turn, drop_images, require_image_count
from harness_transformers.answering import answer_batch, list_end_tokens
from harness_transformers.chat_prompts import NO_TEMPLATE, ChatPrompts, read_template
from harness_transformers.continuation_scores import (
    score_continuations,
    score_next_tokens,
    tokenize_continuations,
)
from harness_transformers.pretrained import Dtype, PretrainedSource
from harness_transformers.question_batches import Prompt, run_in_batches

if TYPE_CHECKING:
    import torch

Restriction = Literal["none", "choices"]
"""Whether an answer is free, or one of its question's choices if it has any."""

_PENALTIES = (
    "repetition_penalty", "no_repeat_ngram_size", "num_beams", "bad_words_ids", "suppress_tokens", "min_new_tokens",
)  # fmt: skip
"""Settings of a model's own generation_config that would change greedy answers."""


class SpeakingModel(ABC):
    """A network of transformers that answers questions and scores continuations; subclasses load and feed it."""

    sees_images = True
    max_images: int | None = None

    def __init__(
        self,
        kind: str,
        model: str,
        revision: str | None,
        dtype: Dtype,
        system_prompt: str | None,
        chat_template: Path | None,
        temperature: float,
        seed: int,
        restriction: Restriction,
        batch_size: int,
    ) -> None:
        self._where = f"{kind}:{model}"
        if not temperature >= 0:
            raise OptionError(f"{self._where}: temperature is {temperature}, expected at least 0")
        if batch_size < 1:
            raise OptionError(f"{self._where}: batch_size is {batch_size}, expected at least 1")
        self.model, self.revision, self.dtype, self.system_prompt = model, revision, dtype, system_prompt
        self.chat_template, self.temperature, self.seed = chat_template, temperature, seed
        self.restriction, self.batch_size = restriction, batch_size
        self._source = PretrainedSource(self._where, model, revision)
        self._remarks: list[str] = []
        self._network: Any = None
        self._tokenizer: Any = None
        self._prompts: ChatPrompts | None = None
        self._device: Any = None

    @property
    def operational(self) -> tuple[str, ...]:
        """Options that decide no result; a folder's files do, wherever it lies, and no revision of it is read."""
        return ("batch_size",) if self._source.folder is None else ("batch_size", "model", "revision")

    @property
    def lacks(self) -> Mapping[str, str]:
        """The capabilities that a folder without a chat template takes back."""
        if self.chat_template is not None or not self._source.lacks_chat_template():
            return {}
        return dict.fromkeys(("answers conversations", "scores continuations"), NO_TEMPLATE)

    def unavailable(self) -> str | None:
        """Return what is missing (transformers, the folder, weights as safetensors), or None."""
        return self._source.find_problem()

    def fingerprint(self) -> str:
        """Return digests of the folder's files and of the chat template, or the revision; and the library's version."""
        own = "" if self.chat_template is None else f" template sha256:{digest(self.chat_template)}"
        return self._source.fingerprint() + own

    @property
    def remarks(self) -> list[str]:
        """What is not known or left out of the questions; complete after `load`."""
        found = []
        if self._source.folder is None and self.revision is None:
            found.append("the model on the hub may change: its option `revision` is not set")
        if not self.sees_images:
            found.append("the model sees no images: they are left out of its questions")
        return found + self._remarks

    @property
    def module(self) -> torch.nn.Module:
        """The network, available after `load`."""
        module: torch.nn.Module = self._network
        return module

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers; neither a path nor an address."""
        network, prompts = self._loaded()
        local = self._source.folder is not None
        return {
            "weights": f"sha256:{self._source.digest_files()}" if local else self.model,
            "revision": None if local else getattr(network.config, "_commit_hash", None) or self.revision,
            "chat_template": prompts.digest, "preparation": self._digest_preparation(),
            "dtype": str(network.dtype).removeprefix("torch."), "transformers": version("transformers"),
            "system_prompt": self.system_prompt, "sees_images": self.sees_images,
            "temperature": self.temperature, "seed": self.seed if self.temperature else None,
            "restriction": self.restriction,
        }  # fmt: skip

    def load(self, device: torch.device) -> None:
        """Load network, tokenizer and chat template, and move the network to `device`.

        Raises Unavailable for what can't be had, OptionError for what does not fit or has no chat template.
        """
        if problem := self.unavailable():
            raise Unavailable(problem)
        template = read_template(self._where, self.chat_template)
        renderer, self._tokenizer = self._load_helpers()
        tokens: list[str] = [*self._tokenizer.all_special_tokens, *self._list_image_tokens()]
        self._prompts = ChatPrompts(self._where, renderer, template, self.sees_images, set(tokens))
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._tokenizer.padding_side = "left"
        network = self._load_network()
        self._remarks = [*self._prompts.remarks, *settle_generation(network, self._tokenizer)]
        if self.restriction == "choices" and not list_end_tokens(network):
            raise OptionError(
                f"{self._where}: restriction 'choices' needs a token that ends answers, and it knows none"
            )
        self._network, self._device = network.to(device), device

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        """Return the answers in the order of the questions; one that is too long for the model has "failed".

        Raises DataError, naming the question, for more images than `max_images`, an image that can't be read, and
        a conversation that the chat template refuses or that does not fit its images; and OutOfMemory.
        """
        return run_in_batches(self._write_prompts(questions), self.batch_size, self._answer)

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]:
        """Return a score for each continuation of each question, in their order.

        Continuations follow the prompt without anything between them. Questions whose continuations are all single
        tokens are computed in batches; of others, the prompt is computed once and its cache copied. Raises what
        `generate` does, and DataError, naming the question, for one that is too long or a continuation that becomes
        other tokens after the prompt than on its own.
        """
        if len(questions) != len(continuations):
            raise DataError(
                f"{len(questions)} questions have {len(continuations)} sequences of continuations"
            )
        prompts = self._write_prompts(questions)
        tokens = [tokenize_continuations(self._tokenizer, *both) for both in zip(prompts, continuations)]
        wanted = {id(prompt): own for prompt, own in zip(prompts, tokens, strict=True)}
        single = [all(len(one) == 1 for one in own) for own in tokens]

        def score_letters(batch: Sequence[Prompt]) -> list[list[ContinuationScore]]:
            inputs = self._encode_fitting(batch, [1] * len(batch))
            return score_next_tokens(self._network, inputs, [[t for (t,) in wanted[id(p)]] for p in batch])

        def score_texts(batch: Sequence[Prompt]) -> list[list[ContinuationScore]]:
            own = wanted[id(batch[0])]
            inputs = self._encode_fitting(batch, [max(map(len, own))])
            return [score_continuations(self._network, inputs, own, self.batch_size)]

        letters = iter(
            run_in_batches([p for p, one in zip(prompts, single) if one], self.batch_size, score_letters)
        )
        texts = iter(run_in_batches([p for p, one in zip(prompts, single) if not one], 1, score_texts))
        return [next(letters if one else texts) for one in single]

    @abstractmethod
    def _load_helpers(self) -> tuple[Any, Any]:
        """Return what fills in chat templates, and the tokenizer."""

    @abstractmethod
    def _load_network(self) -> Any:
        """Return the network on the CPU."""

    @abstractmethod
    def _list_image_tokens(self) -> Collection[str]:
        """Return the texts that stand for images in a prompt."""

    @abstractmethod
    def _encode(self, batch: Sequence[Prompt]) -> Mapping[str, torch.Tensor]:
        """Return the network's inputs for a batch of prompts, padded on the left."""

    @abstractmethod
    def _digest_preparation(self) -> str:
        """Return a digest of what turns texts and images into inputs."""

    def _loaded(self) -> tuple[Any, ChatPrompts]:
        if self._network is None or self._prompts is None:
            raise RuntimeError(f"{self._where}: `load` was not called")
        return self._network, self._prompts

    def _write_prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        _, prompts = self._loaded()
        asked = [question if self.sees_images else drop_images(question) for question in questions]
        require_image_count(asked, self.max_images, self._where)
        if self.system_prompt is not None:
            first = Turn("system", (self.system_prompt,))
            asked = [
                q if q.turns and q.turns[0].role == "system" else replace(q, turns=(first, *q.turns))
                for q in asked
            ]
        return [Prompt(question, prompts.render(question)) for question in asked]

    def _answer(self, batch: Sequence[Prompt]) -> list[ModelAnswer]:
        inputs = self._move(self._encode(batch))
        too_long = self._find_too_long(inputs, [prompt.question.max_tokens for prompt in batch])
        if not too_long:
            return answer_batch(
                self._network, self._tokenizer, inputs, [prompt.question for prompt in batch], self.temperature,
                self.seed, [self._list_choices(prompt) for prompt in batch],
            )  # fmt: skip
        rest = iter(
            self._answer(fit) if (fit := [p for n, p in enumerate(batch) if n not in too_long]) else []
        )
        return [
            ModelAnswer("", "failed", reason=too_long[n]) if n in too_long else next(rest)
            for n in range(len(batch))
        ]

    def _list_choices(self, prompt: Prompt) -> list[list[int]] | None:
        choices = prompt.question.choices if self.restriction == "choices" else None
        return None if choices is None else tokenize_continuations(self._tokenizer, prompt, choices)

    def _encode_fitting(self, batch: Sequence[Prompt], added: Sequence[int]) -> dict[str, Any]:
        inputs = self._move(self._encode(batch))
        if too_long := self._find_too_long(inputs, added):
            row, reason = next(iter(too_long.items()))
            raise DataError(f"question '{batch[row].question.id}': {reason}")
        return inputs

    def _find_too_long(self, inputs: Mapping[str, Any], added: Sequence[int]) -> dict[int, str]:
        """Return why the prompts in these rows can't be computed with so many tokens added."""
        most = getattr(self._network.config.get_text_config(), "max_position_embeddings", None)
        counts = inputs["attention_mask"].sum(1).tolist()
        return {
            row: f"its {count} tokens and {more} new ones are more than the {most} that the model takes"
            for row, (count, more) in enumerate(zip(counts, added, strict=True))
            if most is not None and count + more > most
        }

    def _move(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        if not bool(inputs["attention_mask"][:, -1].all()):
            raise OptionError(f"{self._where}: its processor pads prompts on the right")
        tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
        return {
            name: value.to(self._device, self._network.dtype if value.is_floating_point() else None)
            for name, value in tensors.items()
        }


def settle_generation(network: Any, tokenizer: Any) -> list[str]:
    """Let a network answer greedily, until its own end tokens or the tokenizer's; return remarks.

    `generate` would fill in whatever the network's own generation_config sets, such as a repetition penalty.
    """
    from transformers import GenerationConfig

    make: Any = GenerationConfig
    own, plain = network.generation_config, make()
    ends = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    unused = [
        f"{name}={getattr(own, name)}"
        for name in _PENALTIES
        if getattr(own, name, None) not in (None, getattr(plain, name, None), 0, 1)
    ]
    network.generation_config = make(
        eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, bos_token_id=own.bos_token_id, do_sample=False
    )
    said = []
    if unused:
        said.append(f"the model's own generation_config is not used: {', '.join(unused)}")
    if not list_end_tokens(network):
        said.append("the model knows no token that ends an answer: each ends at its limit or a stop text")
    return said


def digest_settings(*settings: Any) -> str:
    """Return the SHA-256 of settings as JSON, keys sorted; what JSON does not know counts as its text."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def digest_tokenizer(tokenizer: Any) -> str:
    """Return the SHA-256 of a tokenizer's rules, or of its vocabulary where transformers implements it in Python."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    text = fast.to_str() if fast is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
