"""Prompts in both towers: independent (IVLP), coupled (MaPLe) and regularised (PromptSRC)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness import OptionError
from harness_few_shot.templates import FromTemplates, check_templates_option
from harness_prompts.shots import FromShots

if TYPE_CHECKING:
    import torch

    from harness.learning.loop import Objective
    from harness.learning.pipeline import Batch
    from harness_few_shot.task import FewShotTask
    from harness_prompts.tower_prompts import DeepText, ImageTower


class DeepClassifier:
    """Zero-shot classification by two towers with prompts in them, image embeddings included."""

    def __init__(
        self,
        towers: PromptedTowers,
        text: Sequence[torch.Tensor],
        image: Sequence[torch.Tensor],
        scale: float,
    ) -> None:
        self.towers, self.scale = towers, scale
        self.text, self.image = [p.detach() for p in text], [p.detach() for p in image]

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return embeddings B×D, not normalised, of prepared images."""
        return self.towers.image(images, self.image)

    def logits(self, features: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor:
        """Return logits N×C for normalised embeddings from `encode_image`."""
        import torch

        with torch.no_grad():
            return self.scale * features @ self.towers.make_texts(class_names).encode(self.text).T


class PromptedTowers:
    """Both towers of a loaded model, with the initial words of the text prompts.

    Raises OptionError if either can't take prompts.
    """

    def __init__(self, task: FewShotTask, init: str, length: int | None) -> None:
        from harness_prompts.tower_prompts import ImageTower

        self.clip = task.texts.model.clip
        self.image: ImageTower = ImageTower(self.clip)
        self.text = task.texts.tower
        self.init, self.length = init, length

    def make_texts(self, class_names: Sequence[str]) -> DeepText:
        """Return the texts of the class names."""
        from harness_prompts.tower_prompts import DeepText

        return DeepText(self.text, class_names, self.init, self.length)


class IVLP(FromShots):
    """Independent prompts in the image and the text tower, learned by cross-entropy on the shots.

    Source: the baseline of Khattak et al., PromptSRC, ICCV 2023; defaults are those of its code.
    The image tower runs in every step, without cached embeddings.

    Args:
        image_length: prompts beside the image's tokens in each block; 0 leaves the image tower unchanged.
        init: words before the class name, whose token embeddings the text prompts start from.
        depth: how many of the first blocks of each tower get their own prompts, at most all of them.
        epochs: passes over the shots.
        rate: learning rate of SGD, as for CoOp.
        batch: images per step.
        augment: new random crops and flips in every epoch.
    """

    transfers = True
    needs_tower = True
    own_image_tower = True

    def __init__(
        self,
        image_length: int = 4,
        init: str = "a photo of a",
        depth: int = 9,
        epochs: int = 20,
        rate: float = 0.0025,
        batch: int = 4,
        augment: bool = False,
    ) -> None:
        if depth < 1 or batch < 1 or epochs < 0 or image_length < 0:
            raise OptionError("depth and batch must be at least 1, epochs and image_length 0 or more")
        if not init:
            raise OptionError("prompts in both towers start from words: init can't be empty")
        self.image_length, self.init, self.depth = image_length, init, depth
        self.epochs, self.rate, self.batch, self.augment = epochs, rate, batch, augment

    def fit(self, task: FewShotTask) -> DeepClassifier:
        """Learn the prompts; the encoders stay frozen."""
        import torch

        from harness_prompts.methods.coop import freeze
        from harness_prompts.shot_training import coop_recipe, train_on_shots

        towers = PromptedTowers(task, self.init, self._learned_tokens)
        class_texts = towers.make_texts(task.class_names)
        prompts = self._build_prompts(towers, class_texts.initial, task.seed).to(task.device)
        parameters, weights = list(prompts.parameters()), self._epoch_weights
        recipe = coop_recipe(len(task.labels), self.epochs, self.rate, self.batch)
        per_epoch = recipe.batches_per_epoch(len(task.labels))
        averages = [torch.zeros_like(p) for p in parameters if weights]

        def average(step: int) -> None:
            epoch, left = divmod(step + 1, per_epoch)
            if averages and not left:
                torch._foreach_add_(averages, [p.detach() for p in parameters], alpha=weights[epoch - 1])

        objective = self._build_objective(task, towers, class_texts, prompts)
        with freeze(towers.clip):
            source = task.images(self.augment)
            train_on_shots(task, parameters, source, objective, recipe, beside=averages, after_step=average)
        with torch.no_grad():
            for averaged, parameter in zip(averages, parameters, strict=False):
                parameter.copy_(averaged)
        text, image = prompts.text_prompts(), prompts.image_prompts()
        task.notes["prompted_blocks"] = {"text": len(text), "image": len(image)}
        return DeepClassifier(towers, text, image, task.logit_scale)

    _learned_tokens: int | None = None
    """How many of the initial words' tokens are learned; all if None."""

    @property
    def _epoch_weights(self) -> list[float]:
        """Weights that average the prompts over the epochs; without any, the last prompts are taken."""
        return []

    def _build_prompts(self, towers: PromptedTowers, initial: torch.Tensor, seed: int) -> Any:
        from harness_prompts.tower_prompts import IndependentPrompts

        shape = (self.image_length, towers.image.width)
        image_blocks = min(self.depth, towers.image.blocks) if self.image_length else 0
        return IndependentPrompts(initial, min(self.depth, towers.text.blocks), shape, image_blocks, seed)

    def _build_objective(
        self, task: FewShotTask, towers: PromptedTowers, class_texts: DeepText, prompts: Any
    ) -> Objective:
        import torch.nn.functional as F

        from harness_prompts.shot_training import batch_labels

        def loss(batch: Batch, step: int) -> torch.Tensor:
            seen = F.normalize(towers.image(batch.data, prompts.image_prompts()).float(), dim=-1)
            logits = task.logit_scale * seen @ class_texts.encode(prompts.text_prompts()).T
            return F.cross_entropy(logits, batch_labels(batch))

        return loss


class MaPLe(IVLP):
    """Prompts in the text tower, and linear maps of them in the image tower, block by block.

    Source: Khattak et al., MaPLe: Multi-modal Prompt Learning, CVPR 2023; defaults are those of its
    code, which for transfer to other data sets uses depth 3, rate 0.0026 and 2 epochs.

    Args:
        length: prompts per block; the first block's start from the first tokens of `init`, and its other
            tokens stay words.
        init: words before the class name.
        depth: how many of the first blocks of both towers get their own prompts, at most as many as either
            has.
        epochs: passes over the shots.
        rate: learning rate of SGD, as for CoOp.
        batch: images per step.
        augment: new random crops and flips in every epoch.
    """

    def __init__(
        self,
        length: int = 2,
        init: str = "a photo of a",
        depth: int = 9,
        epochs: int = 5,
        rate: float = 0.0035,
        batch: int = 4,
        augment: bool = False,
    ) -> None:
        if length < 1:
            raise OptionError("length must be at least 1")
        super().__init__(length, init, depth, epochs, rate, batch, augment)
        self.length = self._learned_tokens = length

    def _build_prompts(self, towers: PromptedTowers, initial: torch.Tensor, seed: int) -> Any:
        from harness_prompts.tower_prompts import CoupledPrompts

        blocks = min(self.depth, towers.text.blocks, towers.image.blocks)
        return CoupledPrompts(initial, blocks, towers.image.width, seed)


class PromptSRC(IVLP, FromTemplates):
    """Independent prompts, kept near the frozen model and averaged over the epochs.

    The average over epochs has the weights of a normal distribution. Source: Khattak et al., Self-regulating
    Prompts, ICCV 2023; defaults are those of its code for base-to-new; for few shots it uses 50 epochs, mean
    30 and deviation 30.

    Args:
        templates: the ensemble to stay near.
        text_weight: weight of the mean absolute difference between prompted and the ensemble's text embeddings.
        image_weight: weight of the same between prompted and frozen image embeddings.
        logit_weight: weight of the divergence of the prompted from the frozen predictions, per logit.
        mean: epoch of the mean of the normal distribution that weights the epochs.
        deviation: standard deviation of that distribution, in epochs; above 0.
    """

    def __init__(
        self,
        image_length: int = 4,
        init: str = "a photo of a",
        depth: int = 9,
        epochs: int = 20,
        rate: float = 0.0025,
        batch: int = 4,
        augment: bool = False,
        templates: str | list[str] = "imagenet-80",
        text_weight: float = 25.0,
        image_weight: float = 10.0,
        logit_weight: float = 1.0,
        mean: float = 15.0,
        deviation: float = 1.0,
    ) -> None:
        super().__init__(image_length, init, depth, epochs, rate, batch, augment)
        if deviation <= 0:
            raise OptionError(f"deviation must be above 0, not {deviation}")
        self.templates = check_templates_option(templates)
        self.text_weight, self.image_weight, self.logit_weight = text_weight, image_weight, logit_weight
        self.mean, self.deviation = mean, deviation

    def _build_objective(
        self, task: FewShotTask, towers: PromptedTowers, class_texts: DeepText, prompts: Any
    ) -> Objective:
        import torch
        import torch.nn.functional as F

        from harness_prompts.methods.zero_shot import zero_shot_weights
        from harness_prompts.shot_training import batch_labels

        anchor = zero_shot_weights(task, self.templates)

        def known_features(batch: Batch) -> torch.Tensor:
            if not self.augment:
                return task.features[torch.from_numpy(batch.rows)]
            with torch.no_grad():
                return F.normalize(towers.clip.encode_image(batch.data).float(), dim=-1)

        def loss(batch: Batch, step: int) -> torch.Tensor:
            known = known_features(batch)
            seen = F.normalize(towers.image(batch.data, prompts.image_prompts()).float(), dim=-1)
            texts = class_texts.encode(prompts.text_prompts())
            logits = task.logit_scale * seen @ texts.T
            before = task.logit_scale * known @ anchor.T
            divergence = F.kl_div(
                logits.log_softmax(dim=1), before.log_softmax(dim=1), reduction="sum", log_target=True
            )
            return (
                F.cross_entropy(logits, batch_labels(batch))
                + self.text_weight * F.l1_loss(texts, anchor)
                + self.image_weight * F.l1_loss(seen, known)
                + self.logit_weight * divergence / logits.numel()
            )

        return loss

    @property
    def _epoch_weights(self) -> list[float]:
        return epoch_weights(self.epochs, self.mean, self.deviation)


def epoch_weights(epochs: int, mean: float, deviation: float) -> list[float]:
    """Return weights of epochs 1…E with sum one, proportional to a normal density, as in PromptSRC.

    If the density underflows at every epoch, the epoch nearest to the mean gets all the weight.
    """
    import math

    powers = [-((e - mean) ** 2) / (2 * deviation**2) for e in range(1, epochs + 1)]
    densities = [math.exp(p - max(powers)) for p in powers]  # relative to the largest, against underflow
    return [d / sum(densities) for d in densities]
