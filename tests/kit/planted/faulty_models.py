"""Models: a sound one, and the same with one fault each, for the kit to find."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from harness import Preparation


class Net:
    """A sound model: two layers on 8×8 images, random weights from a seed of their own."""

    label_space = "kit"
    logit_scale: float
    module: Any

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.preparation = Preparation(8, 8, "bilinear")

    def load(self, device: Any) -> None:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.module = self.build().to(device).eval()
        self.logit_scale = 10.0

    def build(self) -> Any:
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.ReLU(), nn.Linear(6, 4))

    def prepare(self, image: Any) -> Any:
        from harness.inference.images import decode, exact_prepare

        return exact_prepare(Preparation(8, 8, "bilinear"))(decode(image))

    def classify(self, images: Any) -> Any:
        return self.module(images)

    def encode_image(self, images: Any) -> Any:
        return self.module[:3](images)

    def encode_text(self, texts: Any) -> Any:
        import torch

        return torch.tensor([[len(t), t.count("e"), 1, 2, 3, 4] for t in texts], dtype=torch.float32)


class ForgotEval(Net):
    """Stays in training mode, with dropout."""

    def build(self) -> Any:
        from torch import nn

        return nn.Sequential(*super().build(), nn.Dropout(0.5))

    def load(self, device: Any) -> None:
        super().load(device)
        self.module.train()


class NoisyOutput(Net):
    """Adds noise of its own, in evaluation mode too."""

    def classify(self, images: Any) -> Any:
        import torch

        return self.module(images) + torch.randn(len(images), 4)


class BatchMean(Net):
    """Subtracts the mean of the batch."""

    def classify(self, images: Any) -> Any:
        out = self.module(images)
        return out - out.mean(0)


class FlatOutput(Net):
    """Gives one vector for all images."""

    def classify(self, images: Any) -> Any:
        return self.module(images).flatten()


class Doubles(Net):
    """Answers in float64."""

    def classify(self, images: Any) -> Any:
        return self.module(images).double()


class GivesNan(Net):
    """Divides by nothing."""

    def classify(self, images: Any) -> Any:
        return self.module(images) / 0 * 0


class NeedsThreeChannels(Net):
    """Takes RGB images for granted."""

    def prepare(self, image: Any) -> Any:
        import torch

        pixels = torch.from_numpy(np.array(image.resize((8, 8)))).permute(2, 0, 1)
        return pixels.float() / 255


class LongSideFree(Net):
    """Leaves long images long."""

    def prepare(self, image: Any) -> Any:
        import torch

        long = max(image.size) > 5 * min(image.size)
        width, height = (max(8, round(s * 8 / min(image.size))) if long else 8 for s in image.size)
        pixels = np.array(image.convert("RGB").resize((width, height)))
        return torch.from_numpy(pixels).permute(2, 0, 1).float()[:, :8] / 255


class WrongPreparation(Net):
    """Tells another normalisation than it uses."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.preparation = Preparation(8, 8, "bilinear", mean=(0.5, 0.5, 0.5))


class PaddedTexts(Net):
    """A text's embedding depends on the longest text beside it."""

    def encode_text(self, texts: Any) -> Any:
        return super().encode_text(texts) / max(map(len, texts))


class OtherSpace(Net):
    """Texts and images have embeddings of different sizes."""

    def encode_text(self, texts: Any) -> Any:
        return super().encode_text(texts)[:, :3]


class LogScale(Net):
    """Gives the logarithm of its scale, here below zero."""

    def load(self, device: Any) -> None:
        super().load(device)
        self.logit_scale = -1.2


class Misspelt:
    """A method's name has a typing error."""

    label_space = "kit"

    def load(self, device: Any) -> None:
        pass

    def prepare(self, image: Any) -> Any:
        pass

    def clasify(self, images: Any) -> Any:
        pass


class Nameless(Net):
    """Classifies into it does not say what."""

    label_space = None  # type: ignore[assignment]


class SeedsGlobally(Net):
    """Seeds torch's generator for all."""

    def load(self, device: Any) -> None:
        import torch

        torch.manual_seed(self.seed)
        self.module = self.build().to(device).eval()
        self.logit_scale = 10.0


class DrawsFromNumpy(Net):
    """Takes one number from NumPy's generator of all."""

    def load(self, device: Any) -> None:
        super().load(device)
        np.random.rand()  # noqa: NPY002


class DrawsFromPython(Net):
    """Takes one number from Python's generator of all."""

    def load(self, device: Any) -> None:
        super().load(device)
        random.random()


class OtherWeights(Net):
    """Random weights that are others each time."""

    def load(self, device: Any) -> None:
        self.seed = random.SystemRandom().randrange(2**31)
        super().load(device)


class HiddenState(Net):
    """What decides the output is no part of the module."""

    def load(self, device: Any) -> None:
        super().load(device)
        self.bias = float(self.module[1].weight.detach().flatten()[0])

    def classify(self, images: Any) -> Any:
        return self.module(images) * (1 + self.hidden)

    @property
    def hidden(self) -> float:
        return float(id(self) % 1000) / 500


class Decoy(Net):
    """Exposes another network than the one that answers."""

    def load(self, device: Any) -> None:
        super().load(device)
        self.used, self.module = self.module, self.build().eval()
        for parameter in self.module.parameters():
            parameter.data.fill_(0.5)

    def classify(self, images: Any) -> Any:
        return self.used(images)

    def encode_image(self, images: Any) -> Any:
        return self.used[:3](images)


class ShowsLate:
    """Says only after load that it can classify."""

    label_space = "kit"

    def load(self, device: Any) -> None:
        self.classify = self.prepare = lambda images: images


class ManyShapes(Net):
    """Leaves images of the size that they have."""

    def prepare(self, image: Any) -> Any:
        import torch

        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float()


class StaysBehind(Net):
    """Keeps a tensor that does not move with the module."""

    def load(self, device: Any) -> None:
        import torch

        super().load(device)
        self.shift = torch.zeros(4)

    def classify(self, images: Any) -> Any:
        return self.module(images) + self.shift


class Patches(Net):
    """A sound model of which nothing but patches can be had."""

    lacks = ("classifies images", "encodes images", "encodes texts")

    def encode_image_tokens(self, images: Any) -> Any:
        """Each of the eight rows of pixels is a patch."""
        patches = self.module[1].weight.reshape(6, 8, 24)[:, 0] @ images.permute(0, 2, 1, 3).flatten(2).mT
        return patches.mean(2), patches.mT


class PatchesOfTheBatch(Patches):
    """Takes the batch's mean from the patches alone."""

    def encode_image_tokens(self, images: Any) -> Any:
        embeddings, patches = super().encode_image_tokens(images)
        return embeddings, patches - patches.mean(0)


class OtherBeside(Patches):
    """Encodes images in another way than beside the patches."""

    lacks = ()

    def encode_image_tokens(self, images: Any) -> Any:
        embeddings, patches = super().encode_image_tokens(images)
        return embeddings + 1, patches


class Tokens(Net):
    """A sound model of which nothing but texts' tokens can be had: a letter is a token."""

    lacks = ("classifies images", "encodes images", "encodes texts")

    def encode_text_tokens(self, texts: Any) -> Any:
        import torch

        longest = max(map(len, texts))
        numbers = torch.tensor([[ord(c) % 31 for c in t.ljust(longest)] for t in texts])
        mask = torch.arange(longest) < torch.tensor([len(t) for t in texts])[:, None]
        tokens = numbers[..., None] / torch.arange(1, 7)
        return (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), tokens, mask


class PaddedTokens(Tokens):
    """Its mask says that padding is text, too."""

    def encode_text_tokens(self, texts: Any) -> Any:
        embeddings, tokens, mask = super().encode_text_tokens(texts)
        return embeddings, tokens, mask | True


class NumbersAsMask(Tokens):
    """Its mask is of numbers."""

    def encode_text_tokens(self, texts: Any) -> Any:
        embeddings, tokens, mask = super().encode_text_tokens(texts)
        return embeddings, tokens, mask.float()


class TextsInDoubles(Net):
    """Reads texts alone, in double precision."""

    lacks = ("classifies images", "encodes images")

    def encode_text(self, texts: Any) -> Any:
        return super().encode_text(texts).double()


class OtherSimilarity(Net):
    """Compares in a way that nobody knows."""

    similarity = "euclidean"


class ScoresTurned(Net):
    """Scores itself, texts by images."""

    def score(self, images: Any, texts: Any) -> Any:
        return texts @ images.T


class ScoresItself(Net):
    """A sound model that scores itself, and says how many outputs it has instead of what they are."""

    label_space = None  # type: ignore[assignment]
    num_classes = 4

    def score(self, images: Any, texts: Any) -> Any:
        return images @ texts.T


class TooManyNames(Net):
    """Names five of its four outputs."""

    class_names = ("a", "b", "c", "d", "e")
