"""The model `clip-segmenter`: segmentation by the names of classes, from a contrastive model that never saw a mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness import DataError, EncodesTexts, OptionError, has
from harness.contract.declared import ask
from harness_few_shot.templates import FromTemplates, check_templates_option, find_templates
from harness_few_shot.tower import HasClip
from harness_segmenters.class_words import ClassWords, read_class_words
from harness_segmenters.dense_tokens import LastAttention

if TYPE_CHECKING:
    import torch
    from PIL import Image

WHERE = "clip-segmenter"


class ContrastiveModel:
    """An option's type: a model with open_clip's towers."""

    plugin_kind: ClassVar = "models"


class ClipSegmenter(FromTemplates):
    """Gives each pixel the class whose prompt is most similar to the place, in a vision transformer of open_clip's.

    The recipe of MaskCLIP (Zhou et al. 2022): tokens run through all blocks but the last, whose attention is left out;
    each place is projected into the joint space, compared with the classes, and the similarities are enlarged to
    pixels. By default images are shown in half-overlapping windows of the size that the tower was trained on, as SCLIP
    (Wang et al. 2024) does. Numbers depend on this and on the words for classes by tens of points.

    Args:
        model: the contrastive model, such as `open_clip:ViT-B-16/openai`.
        attention: of the last block: "values" (none; MaskCLIP), "self-self" (SCLIP), or its "own".
        shorter_side: pixels of an image's shorter side; by default one and a half times the tower's (336 for 224).
        window: side of the windows; by default the tower's; 0: the whole image at once, each side at the nearest
            multiple of the patches.
        stride: pixels from window to window; by default half of them.
        scale: the factor on cosine similarities; by default the model's own (100 in most); SCLIP's is 40.
        templates: `data` (the data set's, else "a photo of a {}."), a set (`imagenet-80`, `imagenet-7`), a file, or a
            list.
        names: words for classes in place of their names, as "class=word, word"; a class counts as its best word.
            "background=sky, wall, …" describes the background.
        threshold: the probability over all words below which a pixel is of the class "background"; by default it is
            a class like others. Confidences of such pixels have no meaning as probabilities.
    """

    def __init__(
        self,
        model: ContrastiveModel,
        attention: LastAttention = "values",
        shorter_side: int | None = None,
        window: int | None = None,
        stride: int | None = None,
        scale: float | None = None,
        templates: str | list[str] = "data",
        names: list[str] | None = None,
        threshold: float | None = None,
    ) -> None:
        if not has(model, HasClip) or not has(model, EncodesTexts):
            raise OptionError(
                f'{WHERE}: {type(model).__name__} has no towers of open_clip\'s; model = "open_clip:ViT-B-16/openai" has'
            )
        for name, value, least in (
            ("shorter_side", shorter_side, 1),
            ("window", window, 0),
            ("stride", stride, 1),
        ):
            if value is not None and value < least:
                raise OptionError(f"{WHERE}: {name} must be at least {least}, not {value}")
        if scale is not None and scale <= 0:
            raise OptionError(f"{WHERE}: scale must be positive, not {scale}")
        if threshold is not None and not 0 < threshold < 1:
            raise OptionError(f"{WHERE}: threshold must be between 0 and 1, not {threshold}")
        self.model: Any = model
        self.attention = attention
        self.shorter_side, self.window, self.stride = shorter_side, window, stride
        self.scale, self.threshold = scale, threshold
        self.templates = check_templates_option(templates)
        self.names = read_class_words(names or [], WHERE)
        self.class_names: Sequence[str] = []
        self._words: ClassWords | None = None
        self._said: list[str] = []

    def unavailable(self) -> str | None:
        """Return why the contrastive model can't be used here, or None."""
        check = ask(self.model, "unavailable")
        found: str | None = check() if check else None
        return found

    @property
    def remarks(self) -> list[str]:
        """The contrastive model's remarks, and those on the classes named last."""
        return [*(ask(self.model, "remarks") or ()), *self._said]

    @property
    def module(self) -> torch.nn.Module:
        """Both towers (after `load`)."""
        module: torch.nn.Module = self.model.module
        return module

    def load(self, device: torch.device) -> None:
        """Load the contrastive model and settle the sizes.

        Raises OptionError for a tower without embeddings of places, and for windows that the patches don't divide, that
        leave gaps, or that are larger than images.
        """
        import torch

        from harness_segmenters.dense_tokens import explain_unfit_tower

        self.model.load(device)
        self._visual = self.model.clip.visual
        if problem := explain_unfit_tower(self._visual):
            raise OptionError(f"{WHERE}: {problem}")
        preparation = self.model.preparation
        if preparation is None:
            raise OptionError(f"{WHERE}: how the model prepares images is not known")
        own, patch = int(min(self._visual.image_size)), int(self._visual.patch_size[0])
        side = self.shorter_side or own * 3 // 2
        window = own if self.window is None else self.window
        stride = self.stride or max(1, window // 2)
        if window % patch or tuple(self._visual.patch_size) != (patch, patch):
            raise OptionError(
                f"{WHERE}: window must be a multiple of the patches' {patch} pixels, not {window}"
            )
        if window > side:
            raise OptionError(f"{WHERE}: window must be at most the shorter side, {side}, not {window}")
        if window and stride > window:
            raise OptionError(f"{WHERE}: stride must be at most the window, {window}, not {stride}")
        self._sizes = (side, window, stride, patch)
        self._interpolation = preparation.interpolation
        self._mean, self._std = (
            torch.tensor(values, device=device)[:, None, None]
            for values in (preparation.mean, preparation.std)
        )
        self._scale = float(self.model.logit_scale) if self.scale is None else self.scale

    def name_classes(self, class_names: Sequence[str], templates: Sequence[str]) -> None:
        """Embed the prompts of all classes. `templates` are used if the option says `data`.

        Raises DataError if no class has words.
        """
        from harness.inference.prompts import describe_prompts, prompt_facts
        from harness.inference.zeroshot import build_zero_shot_classifier, encode_prompts, prompts_of

        if self.templates == "data":
            used = list(templates)
        else:
            used = find_templates(self.templates) if isinstance(self.templates, str) else self.templates
        words = ClassWords(class_names, self.names, self.threshold)
        if not words.words:
            raise DataError(
                f"{WHERE}: there is no class but 'background', which a threshold leaves without words: give it some by names"
            )
        texts = prompts_of(words.words, used)
        encoded = encode_prompts(self.model, texts)
        self._classifier = build_zero_shot_classifier(encoded, words.words, used)
        facts = prompt_facts(self.model, texts, encoded.cpu().numpy())
        self._said = [*words.remarks, *describe_prompts(self.model, words.words, used, facts)]
        self._words, self.class_names = words, list(class_names)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Return an image as a float tensor 3×H×W in [0, 1], of its own size."""
        from harness_dense.images_by_size import decode_only

        return decode_only(image)

    def collate(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the images as a list: they differ in size."""
        return list(images)

    def segment(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the logits C×H×W of each image, in its own size, each computed alone.

        Raises OptionError before classes are named.
        """
        import torch

        if self._words is None:
            raise OptionError(f"{WHERE}: it has no classes yet: name_classes says which")
        with torch.no_grad():
            return [self._words.combine(self._score_words(image)) for image in images]

    def _score_words(self, image: torch.Tensor) -> torch.Tensor:
        """Return the scaled cosine similarities Q×H×W of an image's pixels with all words."""
        import torch.nn.functional as F

        from harness_segmenters.windows import average_windows

        _, window, stride, _ = self._sizes
        shown = self._show(image)
        size = (window, window) if window else (shown.shape[1], shown.shape[2])
        maps = average_windows(shown, size, stride, self._compare)
        return F.interpolate(maps[None], size=image.shape[-2:], mode="bilinear", align_corners=False)[0]

    def _show(self, image: torch.Tensor) -> torch.Tensor:
        """Return the image in the size the tower sees, normalised."""
        import torch.nn.functional as F

        side, window, _, patch = self._sizes
        factor = side / min(image.shape[-2:])
        sides = [max(side, round(length * factor)) for length in image.shape[-2:]]
        if not window:
            sides = [max(1, round(length / patch)) * patch for length in sides]
        resized = F.interpolate(
            image[None].float(), size=sides, mode=self._interpolation, align_corners=False, antialias=True
        )
        return (resized[0].clamp(0, 1) - self._mean) / self._std

    def _compare(self, windows: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the similarities Q×h×w with all words of each of the windows N×3×h×w."""
        import torch.nn.functional as F

        from harness_segmenters.dense_tokens import embed_places

        places = F.normalize(embed_places(self._visual, windows, self.attention).float(), dim=1)
        for one in places:
            maps = (self._classifier @ one.flatten(1)).unflatten(1, one.shape[1:])
            scaled = self._scale * maps[None]
            yield F.interpolate(scaled, size=windows.shape[-2:], mode="bilinear", align_corners=False)[0]


__all__ = ["ClipSegmenter"]
