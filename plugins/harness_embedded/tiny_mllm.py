"""The models `tiny-mllm` and `tiny-blind`: a small multimodal language model, with and without its images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from harness import DataError, OptionError
from harness_embedded.tiny_models import TinyModel
from harness_language.contracts import ContinuationScore
from harness_language.conversations import ModelAnswer, Question, drop_images, require_image_count

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from harness_embedded.speaking_answers import Choose, Reader, WrittenAnswer
    from harness_embedded.speaking_network import SpeakingNetwork
    from harness_embedded.speaking_prompts import Prompt

RECIPE = "tiny-mllm-1"
"""Version of the training; raise it with every change that alters the weights."""

MOST_IMAGES = 96
_ENCODED_AT_ONCE = 256


class _TinySpeaker(TinyModel):
    sees_images: bool
    _network: SpeakingNetwork

    def __init__(self, name: str, seed: int, steps: int, carry: Literal["next", "none", "all"]) -> None:
        if steps < 0:
            raise OptionError(f"{name}: steps must be at least 0, not {steps}")
        self.seed, self.steps, self.carry = seed, steps, carry
        self.options = {"carry": carry, "steps": steps, "seed": seed}
        self._own_name = name
        self._unknown: Counter[str] = Counter()

    _name = "tiny-mllm"  # of the weights, which both models share

    @property
    def recipe(self) -> str:
        """The versions of the training and of its scenes."""
        from harness_embedded.drawing import RECIPE as SCENES
        from harness_embedded.speaking_scenes import RECIPE as SPEAKING

        return f"{RECIPE}+{SPEAKING}+{SCENES}"

    def build(self) -> nn.Module:
        """Return encoder, connector and decoder with initial weights."""
        from harness_embedded.speaking_network import SpeakingNetwork

        return SpeakingNetwork(self.carry)

    def train(self, module: nn.Module) -> None:
        """Train the encoder on attributes of drawn scenes, then connector and decoder on conversations."""
        from harness_embedded.speaking_training import fit_speaker

        fit_speaker(module, self.steps, self.seed)  # type: ignore[arg-type]

    def load(self, device: torch.device) -> None:
        """Build the network with trained weights; without packaged or cached ones it is trained on the CPU."""
        self._module = self._network = self._build_trained().to(device)  # type: ignore[assignment]
        self._device = device

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers: the weights' digest, and whether images are seen."""
        weights = hashlib.sha256()
        for name, tensor in self._module.state_dict().items():
            weights.update(name.encode() + tensor.cpu().numpy().tobytes())
        return {"model": self._own_name, "weights": weights.hexdigest()[:16], "sees_images": self.sees_images}

    @property
    def remarks(self) -> list[str]:
        """What is left out of the questions, and which words of those read so far are unknown."""
        from harness_embedded.speaking_words import describe_unknown

        found = [] if self.sees_images else ["the model sees no images: they are left out of its questions"]
        return found + ([describe_unknown(self._unknown)] if self._unknown else [])

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        """Return the greedy answer to each question; if it has `choices`, the greedy one among them.

        An answer ends at the first full stop. A question with more tokens than the model reads has failed. Equal
        beginnings of several questions, such as fixed shots, are read once. Raises DataError, naming the question, for
        too many images or one that can't be read.
        """
        import torch

        from harness_embedded.speaking_network import CONTEXT

        questions = self._check_images(questions)
        answers: dict[int, ModelAnswer] = {}
        with torch.inference_mode():
            prompts, reader = self._read(questions)
            fitting = [n for n, prompt in enumerate(prompts) if len(prompt) < CONTEXT]
            some = [questions[n] for n in fitting]
            limits = [
                min(q.max_tokens, CONTEXT - len(prompts[n])) for n, q in zip(fitting, some, strict=True)
            ]
            written = reader.answer([prompts[n] for n in fitting], limits, self._make_choice(some))
        for n, question, answer in zip(fitting, some, written, strict=True):
            answers[n] = _finish_answer(question, answer, len(prompts[n]))
        for n, prompt in enumerate(prompts):
            if n not in answers:
                reason = f"it has {len(prompt)} tokens, and the model reads fewer than {CONTEXT}"
                answers[n] = ModelAnswer("", "failed", reason=reason)
        return [answers[n] for n in range(len(questions))]

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]:
        """Return the log-probability of each continuation of each question; what questions share is read once.

        Raises DataError, naming the question, for too many images or tokens, and for a continuation without a word.
        """
        import torch

        from harness_embedded.speaking_network import CONTEXT
        from harness_embedded.speaking_words import encode_words

        questions = self._check_images(questions)
        with torch.inference_mode():
            prompts, reader = self._read(questions)
            tokens: list[list[list[int]]] = []
            for question, prompt, texts in zip(questions, prompts, continuations, strict=True):
                tokens.append([encode_words(text, self._unknown) for text in texts])
                for text, ids in zip(texts, tokens[-1], strict=True):
                    if not ids:
                        raise DataError(f"question '{question.id}': the continuation {text!r} has no word")
                    if len(prompt) + len(ids) > CONTEXT:
                        raise DataError(
                            f"question '{question.id}' and its continuation have {len(prompt) + len(ids)} tokens, and "
                            f"the model reads at most {CONTEXT}: show fewer shots"
                        )
            return reader.score(prompts, tokens)

    def _check_images(self, questions: Sequence[Question]) -> list[Question]:
        if not self.sees_images:
            return [drop_images(question) for question in questions]
        require_image_count(questions, MOST_IMAGES, self._own_name)
        return list(questions)

    def _read(self, questions: Sequence[Question]) -> tuple[list[Prompt], Reader]:
        from harness_embedded.speaking_answers import Reader
        from harness_embedded.speaking_prompts import PromptWriter

        writer = PromptWriter(self.carry, self._unknown)
        prompts = [writer.write(question) for question in questions]
        return prompts, Reader(self._network, self._encode([part.decoded() for part in writer.images]))

    def _encode(self, images: Sequence[Any]) -> Tensor:
        import torch

        from harness_embedded.speaking_network import FEATURES

        if not images:
            return torch.zeros(0, FEATURES, device=self._device)
        prepared = torch.stack([self.prepare(image) for image in images]).to(self._device)
        return torch.cat([self._network.encode(part) for part in prepared.split(_ENCODED_AT_ONCE)])

    def _make_choice(self, questions: Sequence[Question]) -> Choose:
        """Return the function that chooses an answer's next token: the likeliest, or the likeliest of a choice."""
        from harness_embedded.speaking_words import END, decode_words, encode_words

        allowed = [
            None if q.choices is None else [[*encode_words(c, self._unknown), END] for c in q.choices]
            for q in questions
        ]

        def choose(n: int, tokens: list[int], logits: Tensor) -> tuple[int, bool]:
            begun = allowed[n]
            if begun is None:
                token = int(logits.argmax())
                text = decode_words([*tokens, token])
                return token, token == END or any(stop in text for stop in questions[n].stop)
            at = len(tokens)
            possible = [choice for choice in begun if choice[:at] == tokens]
            following = sorted({choice[at] for choice in possible})
            token = following[int(logits[following].argmax())]
            left = [choice for choice in possible if choice[at] == token]
            return token, token == END or all(choice[at + 1 :] == [END] for choice in left)

        return choose


def _finish_answer(question: Question, answer: WrittenAnswer, tokens_in: int) -> ModelAnswer:
    from harness_embedded.speaking_words import END, decode_words, encode_words

    words = [token for token in answer.tokens if token != END]
    text = decode_words(words)
    if question.choices is not None and answer.ended:
        text = next(choice for choice in question.choices if encode_words(choice) == words)
    cut = min((text.index(stop) for stop in question.stop if stop in text), default=None)
    status: Literal["ok", "truncated"] = "ok" if answer.ended else "truncated"
    return ModelAnswer(
        text[:cut].rstrip() if cut is not None else text, status, tokens_in, len(answer.tokens)
    )


class TinyMLLM(_TinySpeaker):
    """A frozen convolutional encoder, a linear connector (one token an image) and a causal decoder of three layers.

    It learns from drawn scenes: half of its conversations are episodes that bind made-up words to images, half
    questions about shape, colour, existence, and written words. The decoder is shown no triangle, arrow or fish, and
    nothing green, pink or grey, and the encoder learns no names for them: data sets may hold these out. A made-up word
    must stand right after its image, and a conversation with its answer has at most 320 tokens. Whether something is
    there it answers near chance: 800 updates are too few to learn that.

    Args:
        seed: seed of the initial weights and of all that is drawn in training.
        steps: updates of connector and decoder (64 conversations each); 0 leaves random weights.
        carry: which words hold an image besides its own token. "next": the one right after it, without which binding
            is not learned. "none": none, plain concatenation. "all": every later word holds the last image before it
            (the rule of Flamingo, NeurIPS 2022).
    """

    sees_images = True
    max_images: int | None = MOST_IMAGES

    def __init__(
        self, seed: int = 0, steps: int = 800, carry: Literal["next", "none", "all"] = "next"
    ) -> None:
        super().__init__("tiny-mllm", seed, steps, carry)

    def encode_image(self, images: Tensor) -> Tensor:
        """Return the encoder's features B×64 of prepared images B×3×32×32, standardised: what the decoder is shown."""
        return self._network.encode(images)


class TinyBlind(_TinySpeaker):
    """The decoder of `tiny-mllm` without images: what it answers from the text alone.

    Args:
        seed: the seed of `tiny-mllm`, whose weights these are.
        steps: its steps.
    """

    sees_images = False
    max_images: int | None = None

    def __init__(self, seed: int = 0, steps: int = 800) -> None:
        super().__init__("tiny-blind", seed, steps, "next")
