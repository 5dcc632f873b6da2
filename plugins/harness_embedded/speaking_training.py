"""Training of `tiny-mllm`: the encoder on attributes, then connector and decoder on conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness import derive_seed
from harness.learning.loop import train
from harness.learning.pipeline import Batch, HeldSamples
from harness.learning.recipe import Recipe
from harness_embedded.pretraining import ONE_CYCLE, normalise_images
from harness_embedded.sampling import COLOURS
from harness_embedded.shapes import CLASSES
from harness_embedded.speaking_network import CONTEXT, FEATURES, SpeakingNetwork, place_images
from harness_embedded.speaking_scenes import KnownScenes, load_colour_words, load_known_scenes
from harness_embedded.speaking_texts import Conversation, ConversationDraws
from harness_embedded.speaking_words import PAD, SEEN_COLOURS, SEEN_SHAPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCENES, WRITTEN = 6000, 1500
"""Drawn scenes and written words that are learned from."""

BATCH = 64
ENCODER_STEPS = 400
_NOT_COUNTED = -100
_ENCODED_AT_ONCE = 256


def fit_speaker(network: SpeakingNetwork, steps: int, seed: int) -> None:
    """Train the encoder (at most `ENCODER_STEPS` updates), freeze it, and train connector and decoder (`steps`)."""
    scenes, written = load_known_scenes("train", SCENES), load_colour_words("train", WRITTEN)
    images = torch.from_numpy(np.concatenate([scenes.images, written.images]))
    fit_encoder(network.encoder, images, label_attributes(scenes, written), min(steps, ENCODER_STEPS), seed)
    with torch.inference_mode():
        parts = [network.encoder(normalise_images(part)) for part in images.split(_ENCODED_AT_ONCE)]
        features = torch.cat(parts)
        network.centre.copy_(features.mean(0))
        network.spread.copy_(features.std(0).clamp(min=1e-5))
        standardised = (features - network.centre) / network.spread
    draws = ConversationDraws(scenes.first, scenes.colour, written.first, written.colour)
    fit_decoder(network, standardised.clone(), draws, steps, seed)


def label_attributes(scenes: KnownScenes, written: KnownScenes) -> Tensor:
    """Return labels N×3 (shape, colour, written word) of the scenes, then the words; −100 where none or held out."""
    labels = np.full((len(scenes.images) + len(written.images), 3), _NOT_COUNTED)
    shapes, colours = (
        np.array([seen.index(name) if name in seen else _NOT_COUNTED for name in names])
        for seen, names in ((SEEN_SHAPES, CLASSES), (SEEN_COLOURS, COLOURS))
    )
    there = len(scenes.images)
    labels[:there, 0], labels[:there, 1] = shapes[scenes.first], colours[scenes.colour]
    labels[there:, 1], labels[there:, 2] = written.colour, written.first
    return torch.from_numpy(labels)


def fit_encoder(encoder: nn.Module, images: Tensor, labels: Tensor, steps: int, seed: int) -> None:
    """Train an encoder with a linear classifier for each attribute, which is dropped afterwards.

    `images` N×32×32×3 (uint8), `labels` N×attributes, −100 where one is not counted.
    """
    heads = nn.ModuleList(nn.Linear(FEATURES, len(n)) for n in (SEEN_SHAPES, SEEN_COLOURS, SEEN_COLOURS))

    def objective(batch: Batch, step: int) -> Tensor:
        features = encoder(normalise_images(batch.data))
        told = labels[batch.rows]
        losses = [
            F.cross_entropy(head(features), told[:, n], ignore_index=_NOT_COUNTED, reduction="sum")
            for n, head in enumerate(heads)
        ]
        return torch.stack(losses).sum() / (told != _NOT_COUNTED).sum().clamp(min=1)

    recipe = Recipe(steps, BATCH, 4e-3, weight_decay=0.02, **ONE_CYCLE)
    train(nn.ModuleList([encoder, heads]), HeldSamples(images), objective, recipe, seed)


class PaddedConversations(NamedTuple):
    """Conversations as arrays B×T: tokens, shown and carried images (−1: none), and facts of each place."""

    ids: Tensor
    own: Tensor
    held: Tensor
    positions: Tensor
    real: Tensor
    learned: Tensor


def pad_conversations(
    conversations: Sequence[Conversation], network: SpeakingNetwork, rng: np.random.Generator
) -> PaddedConversations:
    """Return conversations padded on the right; half of them begin at a random position, so that all are learned."""
    longest = max(len(talk.ids) for talk in conversations)
    ids = np.full((len(conversations), longest), PAD)
    own, held = np.full_like(ids, -1), np.full_like(ids, -1)
    learned, real = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
    for n, talk in enumerate(conversations):
        length = len(talk.ids)
        ids[n, :length], learned[n, :length], real[n, :length] = talk.ids, talk.learned, True
        own[n, :length], held[n, :length] = place_images(talk.ids, talk.images, network.carry)
    start = rng.integers(0, CONTEXT - longest, (len(ids), 1)) * (rng.random((len(ids), 1)) < 0.5)
    parts: tuple[NDArray[np.generic], ...] = (ids, own, held, np.arange(longest) + start, real, learned)
    return PaddedConversations(*(torch.from_numpy(part) for part in parts))


def fit_decoder(
    network: SpeakingNetwork, features: Tensor, draws: ConversationDraws, steps: int, seed: int
) -> None:
    """Train connector and decoder on conversations about images with these features N×64, half of them episodes.

    Answers to questions and recurring made-up words have half of the loss each.
    """
    features = torch.cat([features, torch.zeros(1, FEATURES)])  # −1 is no image

    def objective(batch: Batch, step: int) -> Tensor:
        rng = np.random.default_rng(derive_seed("conversations", seed, step))
        talks = [draws.draw_episode(rng) if n % 2 else draws.draw_questions(rng) for n in range(BATCH)]
        ids, own, held, positions, real, learned = pad_conversations(talks, network, rng)
        states, _ = network(ids, features[own], features[held], positions, real)
        later = learned[:, 1:]
        logits = network.read_out(states[:, :-1][later])
        losses = F.cross_entropy(logits, ids[:, 1:][later], reduction="none")
        of_episodes = later.nonzero()[:, 0] % 2 == 1
        loss: Tensor = (losses[of_episodes].mean() + losses[~of_episodes].mean()) / 2
        return loss

    parameters = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    recipe = Recipe(steps, BATCH, 3e-3, weight_decay=0.01, **ONE_CYCLE)
    nothing = np.zeros(1, np.int64)  # conversations are drawn in the objective
    train(parameters, HeldSamples(features), objective, recipe, seed, rows=lambda _: nothing)
