"""Prompts inside both towers: MaPLe, IVLP and PromptSRC, against open_clip's own towers and against each other."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from harness.discovery import registry
from harness.errors import DataError, OptionError
from harness.inference.features import digest_module
from harness.learning.pipeline import Batch, HeldSamples
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness.running.worker import RunSettings, Worker
from harness_embedded import tiny_networks
from harness_prompts import shot_training
from harness_prompts.methods.deep_prompts import IVLP, MaPLe, PromptedTowers, PromptSRC, epoch_weights
from harness_prompts.methods.zero_shot import ZeroShotTemplate
from harness_prompts.tower_prompts import CoupledPrompts, ImageTower, IndependentPrompts

SHOTS = 3


@pytest.fixture
def task(model, kit):
    """Shots that are images: the class's colour in noise, seen through the model's own image tower."""
    return with_images(kit.make_task(model, shots=SHOTS), model)


def with_images(task, model):
    generator = torch.Generator().manual_seed(3)
    colours = torch.randn(len(task.class_names), 3, 1, 1, generator=generator)
    images = colours[task.labels] + 0.3 * torch.randn(len(task.labels), 3, 32, 32, generator=generator)
    asked = []

    def viewed(epoch):
        asked.append(epoch)
        return images.flip(-1) * (1 + 0.1 * epoch)

    with torch.no_grad():
        task.features = F.normalize(model.clip.encode_image(images), dim=-1)
    task.images = lambda augment: HeldSamples(viewed if augment else images, task.labels)
    task.asked, task.pixels = asked, images
    return task


def logits(task, method, names=None):
    """As the protocol evaluates: by the classifier's own image tower, where it has one."""
    fitted = method.fit(task)
    features = task.features
    if hasattr(fitted, "encode_image"):
        with torch.no_grad():
            features = F.normalize(fitted.encode_image(task.pixels), dim=-1)
    return fitted.logits(features, names or task.class_names)


@pytest.mark.parametrize("vision", [
    {}, {"pool_type": "avg"}, {"no_ln_pre": True}, {"final_ln_after_pool": True, "pool_type": "avg"},
    {"attentional_pool": True, "attn_pooler_heads": 2, "attn_pooler_queries": 4}, {"ls_init_value": 0.1},
    {"pos_embed_type": "sin_cos_2d"},
], ids=str)  # fmt: skip
def test_without_prompts_the_image_tower_is_open_clips_own(kit, vision):
    torch.manual_seed(0)
    clip = open_clip.CLIP(16, {**kit.VISION, **vision}, kit.TEXT).eval()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        found, own = ImageTower(clip)(images, []), clip.encode_image(images)
    torch.testing.assert_close(found, own, atol=1e-5, rtol=0)


def test_prompts_stand_in_the_blocks_where_they_should(model):
    """Against open_clip's own forward pass with hooks on its blocks that put the prompts in."""
    visual = model.clip.visual
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randn(2, 32, generator=generator) for _ in range(2)]
    images = torch.randn(3, 3, 32, 32, generator=generator)
    own = 1 + (32 // 16) ** 2

    def hook(prompt):
        return lambda block, args: (torch.cat([args[0][:, :own], prompt.expand(3, -1, -1)], dim=1), *args[1:])

    blocks = visual.transformer.resblocks
    handles = [
        blocks[0].register_forward_pre_hook(hook(visual.ln_pre(prompts[0]))),
        blocks[1].register_forward_pre_hook(hook(prompts[1])),
    ]
    with torch.no_grad():
        expected = visual(images)  # pools the class token, which no prompt behind it moves
        for handle in handles:
            handle.remove()
        found = ImageTower(model.clip)(images, prompts)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(found, visual(images), atol=1e-3)


def test_text_prompts_take_the_contexts_place_in_every_block(task, model):
    """Against the model's own `encode_text` with hooks that overwrite positions 1 to M."""
    towers = PromptedTowers(task, "a photo of a", 2)
    generator = torch.Generator().manual_seed(0)
    prompts = [towers.make_texts(["cat"]).initial, torch.randn(2, 32, generator=generator)]
    names = task.class_names

    def hook(block, args):
        x = args[0].clone()
        x[:, 1:3] = prompts[1]
        return (x, *args[1:])

    handle = model.clip.transformer.resblocks[1].register_forward_pre_hook(hook)
    with torch.no_grad():
        expected = F.normalize(model.encode_text([f"a photo of a {n}." for n in names]), dim=-1)
        handle.remove()
        found = towers.make_texts(names).encode(prompts)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_without_steps_and_deeper_prompts_ivlp_is_its_initial_wording(task):
    method = IVLP(image_length=0, depth=1, epochs=0)
    torch.testing.assert_close(
        logits(task, method), logits(task, ZeroShotTemplate("a photo of a {}.")), atol=1e-4, rtol=0
    )
    new = ["barn owl", "tin"]
    torch.testing.assert_close(
        logits(task, method, new), logits(task, ZeroShotTemplate("a photo of a {}."), new), atol=1e-4, rtol=0
    )


def test_without_steps_maple_words_its_classes_as_zero_shot_does(task):
    fitted = MaPLe(depth=1, epochs=0).fit(task)
    expected = ZeroShotTemplate("a photo of a {}.").fit(task).logits(task.features, task.class_names)
    torch.testing.assert_close(fitted.logits(task.features, task.class_names), expected, atol=1e-4, rtol=0)
    assert len(fitted.image) == 1  # its image side starts from a map of the words, not from nothing


def test_without_steps_promptsrc_is_ivlp_before_training(task):
    torch.testing.assert_close(
        logits(task, PromptSRC(epochs=0)), logits(task, IVLP(epochs=0)), atol=0, rtol=0
    )


def test_promptsrc_without_regularisers_and_with_the_last_epochs_prompts_is_ivlp(task, kit, model):
    options = {"epochs": 3, "rate": 0.05}
    free = {"text_weight": 0.0, "image_weight": 0.0, "logit_weight": 0.0}
    plain = logits(task, IVLP(**options))
    last = PromptSRC(**options, **free, mean=1e6)
    assert epoch_weights(3, 1e6, 1.0) == [0, 0, 1]
    torch.testing.assert_close(logits(task, last), plain, atol=1e-5, rtol=0)
    averaged = PromptSRC(**options, **free, mean=2)
    assert not torch.allclose(logits(task, averaged), plain, atol=1e-3)
    held = PromptSRC(**options, mean=1e6)
    assert not torch.allclose(logits(task, held), plain, atol=1e-3)


def test_each_regulariser_holds_what_it_names(task):
    """A heavy weight on one of them keeps that side nearer to the frozen model than none does."""

    def distances(**weights):
        free = {"text_weight": 0.0, "image_weight": 0.0, "logit_weight": 0.0}
        fitted = PromptSRC(
            epochs=6, rate=0.02, templates=["a photo of a {}."], mean=1e6, **{**free, **weights}
        ).fit(task)
        known = F.normalize(task.texts.encode([f"a photo of a {n}." for n in task.class_names]), dim=-1)
        with torch.no_grad():
            texts = fitted.towers.make_texts(task.class_names).encode(fitted.text)
            seen = F.normalize(fitted.encode_image(task.pixels), dim=-1)
        predictions = (20 * seen @ texts.T).log_softmax(1), (20 * task.features @ known.T).log_softmax(1)
        divergence = F.kl_div(*predictions, reduction="batchmean", log_target=True)
        return (
            float((texts - known).abs().mean()),
            float((seen - task.features).abs().mean()),
            float(divergence),
        )

    loose = distances()
    assert distances(text_weight=100.0)[0] < loose[0]
    assert distances(image_weight=100.0)[1] < loose[1]
    assert distances(logit_weight=100.0)[2] < loose[2]


@pytest.mark.parametrize(
    ("epochs", "mean", "deviation"), [(20, 15, 1), (50, 30, 30), (50, 45, 5), (5, 15, 1), (1, 99, 0.01)]
)
def test_the_epochs_weights_sum_to_one_and_follow_the_normal_density(epochs, mean, deviation):
    weights = epoch_weights(epochs, mean, deviation)
    assert sum(weights) == pytest.approx(1)
    density = torch.distributions.Normal(mean, deviation)
    for e in range(1, epochs):
        ratio = math.exp(
            float(density.log_prob(torch.tensor(e + 1.0)) - density.log_prob(torch.tensor(float(e))))
        )
        if weights[e - 1] > 1e-200 and weights[e] > 1e-200:
            assert weights[e] / weights[e - 1] == pytest.approx(ratio, rel=1e-3)
    assert epoch_weights(0, mean, deviation) == []


def test_the_prompts_taken_are_the_weighted_mean_of_the_epochs(task, monkeypatch):
    free = {"text_weight": 0.0, "image_weight": 0.0, "logit_weight": 0.0, "rate": 0.05}
    given = shot_training.coop_recipe
    monkeypatch.setattr(
        shot_training,
        "coop_recipe",
        lambda *options: replace(given(*options), schedule="constant", warmup=0, period=None),
    )
    each = [PromptSRC(epochs=e, mean=1e6, **free).fit(task) for e in (1, 2, 3)]
    mean = PromptSRC(epochs=3, mean=2.0, deviation=1.0, **free).fit(task)
    w = epoch_weights(3, 2.0, 1.0)
    for side in ("text", "image"):
        for number, found in enumerate(getattr(mean, side)):
            expected = sum(a * getattr(fitted, side)[number] for a, fitted in zip(w, each, strict=True))
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("method", [IVLP, MaPLe, PromptSRC])
def test_only_prompts_are_trained_and_the_loss_falls(task, model, method, augment):
    before = digest_module(model.clip)
    grads = {n: p.requires_grad for n, p in model.clip.named_parameters()}
    fitted = method(epochs=6, rate=0.02, augment=augment).fit(task)
    assert digest_module(model.clip) == before
    assert all(p.grad is None for p in model.clip.parameters())
    assert {n: p.requires_grad for n, p in model.clip.named_parameters()} == grads
    losses = task.curves["training"]["loss"]
    assert losses[-1] < losses[0]
    assert task.notes["prompted_blocks"] == {"text": 2, "image": 2}  # the towers have no more
    assert task.asked == (list(range(6)) if augment else [])  # fresh views in every epoch, or none
    assert all(not p.requires_grad for p in (*fitted.text, *fitted.image))


def test_every_prompt_and_map_gets_a_gradient(task):
    towers = PromptedTowers(task, "a photo of a", None)
    for method in (IVLP(), MaPLe(), PromptSRC()):
        towers.length = method._learned_tokens
        class_texts = towers.make_texts(task.class_names)
        prompts = method._build_prompts(towers, class_texts.initial, 0)
        batch = Batch(0, 0, np.arange(4), task.pixels[:4], task.labels[:4])
        method._build_objective(task, towers, class_texts, prompts)(batch, 0).backward()
        for name, parameter in prompts.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_parameter_counts_of_vit_b16():
    words = torch.zeros(4, 512)
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(IndependentPrompts(words, 9, (4, 768), 9, 0)) == 9 * 4 * (512 + 768) == 46_080
    # 3.55 M, says the MaPLe paper
    assert count(CoupledPrompts(words[:2], 9, 768, 0)) == 9 * (2 * 512 + 512 * 768 + 768) == 3_555_072


def test_the_same_seed_learns_the_same(task, kit, model):
    a = logits(task, MaPLe(epochs=2))
    assert torch.equal(a, logits(with_images(kit.make_task(model, shots=SHOTS), model), MaPLe(epochs=2)))
    other = with_images(kit.make_task(model, shots=SHOTS, seed=1), model)
    assert not torch.equal(a, logits(other, MaPLe(epochs=2)))


def test_towers_without_blocks_are_refused_in_one_line(kit):
    resnet = open_clip.CLIP(
        16, {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "head_width": 16}, kit.TEXT
    )
    model = kit.TinyModel(resnet)
    for method in (IVLP(), MaPLe(), PromptSRC()):
        with pytest.raises(
            OptionError, match="image tower ModifiedResNet has no transformer blocks"
        ) as caught:
            method.fit(kit.make_task(model))
        assert "\n" not in str(caught.value)


def test_what_cannot_be_is_refused(task, kit, model):
    for wrong in ({"depth": 0}, {"epochs": -1}, {"batch": 0}, {"init": ""}):
        for method in (IVLP, MaPLe, PromptSRC):
            with pytest.raises(OptionError):
                method(**wrong)
    with pytest.raises(OptionError, match="4 tokens, 5 are to be learned"):
        MaPLe(length=5).fit(task)
    with pytest.raises(OptionError, match="deviation"):
        PromptSRC(deviation=0)
    with pytest.raises(DataError, match="no images"):
        IVLP().fit(kit.make_task(model))


@pytest.fixture
def run(tmp_path, monkeypatch, kit):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_local", {})
    registry.register("datasets", "colours", kit.Colours)
    config = tmp_path / "small.json"
    config.write_text(json.dumps({"embed_dim": 16, "vision_cfg": kit.VISION, "text_cfg": kit.TEXT}))

    def run(methods, **protocol):
        model = {"plugin": "open_clip", "name": "small", "config": str(config)}
        given = {
            "name": "t",
            "models": [model],
            "datasets": ["colours"],
            "metrics": ["top1"],
            "methods": methods,
        }
        given |= {"protocol": {"plugin": "few-shot", **protocol}, "axes": {"shots": [2]}, "seeds": [0]}
        worker = Worker(RunSettings(store=tmp_path / "store", device="cpu"))
        return [worker.run(p.cell) for p in make_plan(suites.parse_suite(given))]

    yield run
    registry.refresh()


@pytest.mark.parametrize("augment", [False, True])
def test_through_the_protocol(run, augment):
    methods = [{"plugin": name, "epochs": 1, "augment": augment} for name in ("ivlp", "maple", "promptsrc")]
    records = run(methods, classes="base-to-new")
    assert [r.reason for r in records if r.status != "ok"] == []
    for record in records:
        assert {"top1.base", "top1.new", "H"} <= set(record.metrics)
        assert record.notes["base_samples"] + record.notes["new_samples"] == 24


def test_an_image_tower_that_is_left_alone_evaluates_as_the_kept_embeddings_do(run):
    still = {"plugin": "ivlp", "image_length": 0, "depth": 1, "epochs": 0}
    ours, zero = run([still, {"plugin": "template"}])
    assert ours.metrics["top1"] == zero.metrics["top1"]


def test_the_embedded_vit_takes_prompts_and_the_embedded_resnet_refuses(kit):
    vit = kit.TinyModel(tiny_networks.build_tiny_clip("vit"), tiny_networks.CONTEXT)
    task = with_images(kit.make_task(vit, shots=1), vit)
    MaPLe(epochs=1).fit(task)
    assert task.notes["prompted_blocks"] == {"text": 2, "image": 2}
    with pytest.raises(OptionError, match="TimmModel has no transformer blocks"):
        MaPLe().fit(
            kit.make_task(kit.TinyModel(tiny_networks.build_tiny_clip("resnet"), tiny_networks.CONTEXT))
        )
