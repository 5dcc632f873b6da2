"""CycleGAN and Pix2Pix: their terms on known generators, the pool, networks, domains, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import harness
import harness.api
import harness_gan.judge_classifier
from harness.errors import OptionError
from harness_data.domains import Domains
from harness_embedded.scene_domains import SceneDomains
from harness_gan.domain_batches import draw_domain_batches
from harness_gan.pool import ImagePool
from harness_gan.real_samples import ImageSamples
from harness_gan.translation_protocol import TranslationProtocol
from harness_gan.translation_training import CycleTraining, PairedTraining
from harness_gan.verdicts import VERDICTS
from harness_generative.streams import Streams
from harness_generative.translation import CycleGAN, Pix2Pix, ResNetTranslator, UNetTranslator
from harness_generative.translation_networks import patch_discriminator

SMALL = ResNetTranslator(4, 1, 1)


def cycle(**options: Any) -> CycleTraining:
    return CycleTraining(CycleGAN(**options), SMALL, 8, 0, 10, torch.device("cpu"))


def images(seed: int, n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_identity_generators_have_no_cycle_and_no_identity_error() -> None:
    training = cycle()
    training.networks["g_ab"] = training.networks["g_ba"] = nn.Identity()
    terms = training.generator_terms(images(0), images(1))
    assert float(terms["g_cycle"]) == float(terms["g_identity"]) == 0
    assert float(terms["g_adversarial"].detach()) > 0


def test_doubling_lambda_doubles_the_cycle_term_only() -> None:
    """The identity weight is a share of λ, so it is halved to keep its term."""
    a, b = images(0), images(1)
    plain = cycle(lambda_a=10, lambda_b=10, identity=0.5).generator_terms(a, b)
    doubled = cycle(lambda_a=20, lambda_b=20, identity=0.25).generator_terms(a, b)
    torch.testing.assert_close(doubled["g_cycle"], 2 * plain["g_cycle"])
    for name in ("g_adversarial", "g_identity"):
        torch.testing.assert_close(doubled[name], plain[name])


def test_constant_discriminators_have_the_least_squares_losses() -> None:
    """D ≡ 0: generators (0−1)² twice, discriminators ½·1 twice."""
    training = cycle()
    for name in ("d_a", "d_b"):
        for p in training.networks[name].parameters():
            nn.init.zeros_(p)
    a, b = images(0), images(1)
    assert float(training.generator_terms(a, b)["g_adversarial"]) == pytest.approx(2)
    assert float(training.discriminator_loss(a, b)) == pytest.approx(1)


@pytest.mark.parametrize(
    "make", [cycle, lambda: PairedTraining(Pix2Pix(), SMALL, 8, 0, 10, torch.device("cpu"))]
)
def test_each_half_of_a_step_changes_its_own_networks(make: Any) -> None:
    training = make()
    before = {n: [p.detach().clone() for p in net.parameters()] for n, net in training.networks.items()}
    training.d_optimizer.step = lambda *_, **__: None  # only the generators may move now
    training.step(images(0), images(1))
    for name, network in training.networks.items():
        moved = any(not torch.equal(p, q) for p, q in zip(network.parameters(), before[name]))
        assert moved == name.startswith("g")


def test_learning_rate_is_constant_then_falls_to_zero() -> None:
    method = CycleGAN()
    assert [method.lr_factor(p) for p in (0, 0.5, 0.75, 1)] == [1, 1, 0.5, 0]


def test_an_empty_pool_passes_through_and_a_full_one_replays_half() -> None:
    batch = images(0)
    passed = ImagePool(0, torch.Generator()).query(batch.requires_grad_(True))
    assert torch.equal(passed, batch)
    assert not passed.requires_grad
    pool = ImagePool(10, torch.Generator().manual_seed(0))
    numbered = [torch.full((1, 1), float(n)) for n in range(1010)]
    first = [pool.query(image) for image in numbered[:10]]
    assert all(torch.equal(x, y) for x, y in zip(first, numbered))
    replayed = [not torch.equal(pool.query(image), image) for image in numbered[10:]]
    assert np.mean(replayed) == pytest.approx(0.5, abs=0.05)
    assert len(pool.images) == 10


def test_seventy_pixels_are_seen_by_a_patch_of_three_layers() -> None:
    """The receptive field by the gradient of one output; normalisation, which sees all, is left out."""
    network = patch_discriminator(2, 3).eval()
    for name, module in list(network.named_children()):
        if isinstance(module, nn.InstanceNorm2d):
            setattr(network, name, nn.Identity())
    x = torch.zeros(1, 3, 256, 256, requires_grad=True)
    out = network(x)
    out[0, 0, 15, 15].backward()
    seen = (x.grad.abs().sum((0, 1)) > 0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        (ResNetTranslator(4, 2, 1), 12),
        (ResNetTranslator(4, 1, 1, halvings=0), 9),
        (UNetTranslator(4, 1), 8),
        (UNetTranslator(4, 2), 32),
    ],
)
def test_translators_keep_the_size(architecture: Any, size: int) -> None:
    assert architecture.fits(size) is None
    out = architecture.generator(size)(torch.rand(2, 3, size, size))
    assert out.shape == (2, 3, size, size)
    assert out.abs().max() <= 1
    assert architecture.discriminator()(out).shape[1] == 1


def test_sizes_that_do_not_fit() -> None:
    assert "power of two" in (UNetTranslator().fits(48) or "")
    assert "divisible by 4" in (ResNetTranslator().fits(50) or "")
    assert "64 pixels" in (ResNetTranslator(patch_layers=1, halvings=5).fits(32) or "")
    assert "32 pixels" in (ResNetTranslator(patch_layers=3).fits(16) or "")


def test_pairs_are_the_same_rows_and_unpaired_draws_are_not() -> None:
    rows = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.uint8)
    a, b = ImageSamples(rows), ImageSamples(rows)
    x, y = draw_domain_batches(a, b, 20, Streams([0]), paired=True)
    assert torch.equal(x, y)
    assert len(x.unique()) > 10
    x, y = draw_domain_batches(a, b, 20, Streams([0]), paired=False)
    assert not torch.equal(x, y)


def test_squares_are_cut_and_mirrored_by_chance() -> None:
    # every pixel tells its row and column
    places = np.stack([*np.indices((6, 6)), np.zeros((6, 6))]).astype(np.uint8)
    image = ImageSamples(np.stack([places] * 4))
    x, y = draw_domain_batches(
        image, ImageSamples(image.images.numpy()), 200, Streams([0]), True, size=4, flip=True
    )
    assert x.shape == (200, 3, 4, 4)
    assert torch.equal(x, y)
    found = ((x + 1) * 127.5).round().long()
    steps = found[:, 1, 0, 1] - found[:, 1, 0, 0]
    assert set(steps.tolist()) == {1, -1}
    assert 70 < int((steps == -1).sum()) < 130
    corners = {(int(t), int(c)) for t, c in zip(found[:, 0, 0, 0], found[:, 1].amin((1, 2)), strict=True)}
    assert corners == {(t, c) for t in range(3) for c in range(3)}
    x, y = draw_domain_batches(image, ImageSamples(image.images.numpy()), 50, Streams([0]), False, size=4)
    assert not torch.equal(x, y)
    whole, _ = draw_domain_batches(image, image, 8, Streams([0]), True, size=6)
    assert torch.equal(whole, image.take_fixed(1).expand(8, -1, -1, -1))


def test_images_are_not_loaded_smaller_than_the_squares() -> None:
    with pytest.raises(OptionError, match="load_size must be at least size, found 200 for 256"):
        TranslationProtocol(load_size=200)


def test_domains_take_every_kind_of_image_and_tell_what_is_none(tmp_path: Path) -> None:
    for split in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / split / "@eaDir").mkdir(parents=True)
        for name in ("0.jfif", "1.tif", "2", "notes.txt", "Thumbs.db"):
            with (tmp_path / split / name).open("wb") as file:
                if name[0].isdigit():
                    Image.new("RGB", (8, 8)).save(file, "TIFF" if "tif" in name else "JPEG")
    domains = Domains(tmp_path)
    assert list(domains.load("trainA").ids) == ["0.jfif", "1.tif", "2"]
    assert domains.remarks[:2] == [
        "trainA: 1 of 4 files is not used: 1 .txt (first: notes.txt)",
        "trainA: 1 of 3 images is recognised by its first bytes, not by a suffix (first: 2)",
    ]
    assert len(domains.remarks) == 8


def test_scene_domains_show_the_same_scenes() -> None:
    domains = SceneDomains(24, 12)
    a, b = domains.load("testA"), domains.load("testB")
    assert a.targets.tolist() == b.targets.tolist()
    dark = 255 - b.images.astype(float).mean(-1)
    edges = np.abs(np.diff(a.images.astype(float).mean(-1), axis=1))[:, :, :-1]
    same = np.mean([np.corrcoef(e.ravel(), d[:-1, :-1].ravel())[0, 1] for e, d in zip(edges, dark)])
    other = np.mean(
        [np.corrcoef(e.ravel(), d[:-1, :-1].ravel())[0, 1] for e, d in zip(edges, np.roll(dark, 1, 0))]
    )
    assert same > other + 0.1


def folders(root: Path, counts: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for n in range(count):
            pixels = rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{n:02d}.png")


def test_folders_in_the_usual_layout_and_two_plain_ones(tmp_path: Path) -> None:
    folders(tmp_path / "x", {"trainA": 3, "trainB": 4, "testA": 2, "testB": 1})
    folders(tmp_path / "y", {"cats": 10, "dogs": 20})
    usual = Domains(tmp_path / "x")
    assert usual.unavailable() is None
    assert [len(usual.load(s)) for s in usual.splits] == [3, 4, 2, 1]
    plain = Domains(a=tmp_path / "y" / "cats", b=tmp_path / "y" / "dogs", held_out=0.2)
    assert [len(plain.load(s)) for s in plain.splits] == [8, 16, 2, 4]
    assert not set(plain.load("trainA").ids) & set(plain.load("testA").ids)
    assert "as many" in (Domains(tmp_path / "x", paired=True).unavailable() or "")
    assert "no images for trainA" in (Domains(tmp_path / "none").unavailable() or "")
    with pytest.raises(OptionError, match="either path"):
        Domains(tmp_path, a=tmp_path)


def test_folders_are_found_below_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders(tmp_path / "data" / "x", {"trainA": 3, "trainB": 4, "testA": 2, "testB": 2})
    folders(tmp_path / "here" / "own", {"cats": 10, "dogs": 20})
    monkeypatch.chdir(tmp_path / "here")
    assert Domains(Path("x")).unavailable() is not None
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path / "data"))
    assert Domains(Path("x")).unavailable() is None
    assert Domains(a=Path("own/cats"), b=Path("own/dogs")).unavailable() is None


def test_hidden_files_and_folders_hold_no_images(tmp_path: Path) -> None:
    """A notebook's copies of test images would train otherwise: they are sorted before them."""
    folders(tmp_path, {"a": 10, "b": 10, "a/.ipynb_checkpoints": 10})
    (tmp_path / "a" / "._00.png").write_bytes(b"")
    plain = Domains(a=tmp_path / "a", b=tmp_path / "b", held_out=0.5)
    assert plain.load("trainA").ids == [f"{n:02d}.png" for n in range(5)]
    assert plain.load("testA").ids == [f"{n:02d}.png" for n in range(5, 10)]


@pytest.mark.usefixtures("quick_classifier")
def test_too_few_test_images_are_named_before_the_training(tmp_path: Path) -> None:
    """A tenth of a few images is one, and one has no spread for a distance."""
    folders(tmp_path, {"a": 5, "b": 6})
    data = {"plugin": "domains", "a": str(tmp_path / "a"), "b": str(tmp_path / "b"), "label": "few"}
    suite = {**SUITE, "datasets": [data], "protocol": {**SUITE["protocol"], "extractor": "tiny-vit?steps=0"}}
    (record,) = harness.run(suite, store=tmp_path / "store", device="cpu").records
    assert record.status == "failed"
    assert "few: distances need 2 images of testA, there is 1" in (record.reason or "")


SUITE: dict[str, Any] = {
    "name": "translate",
    "protocol": {"plugin": "cyclegan", "steps": 6, "size": 8, "batch_size": 2, "checkpoint_every": 2},
    "models": [{"plugin": "cyclegan-resnet", "width": 4, "blocks": 1, "patch_layers": 1}],
    "datasets": [{"plugin": "scene-domains", "train": 48, "test": 24}],
    "methods": [{"plugin": "cyclegan", "pool": 3}],
    "metrics": ["frechet"],
}


class Stop:
    """Ends the run like a kill would, at a step."""

    @harness.hookimpl
    def cell_progress(self, done: int) -> None:
        if done == 5:
            raise KeyboardInterrupt


@pytest.fixture
def quick_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier of few steps, which stays with the test."""
    monkeypatch.setattr(harness_gan.judge_classifier, "STEPS", 60)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("quick_classifier")
def test_no_translation_is_a_row_of_its_own(tmp_path: Path) -> None:
    """It scores what the others' untranslated numbers say, and has no verdict."""
    suite = {**SUITE, "methods": ["untranslated", *SUITE["methods"]]}
    outcome = harness.run(suite, store=tmp_path / "store", device="cpu")
    same, translated = outcome.records
    assert same.status == translated.status == "ok", same.traceback or same.reason
    for name in ("pixel_error", "accuracy"):
        assert same.metrics[name] == same.metrics[f"untranslated_{name}"]
        assert same.metrics[name] == translated.metrics[f"untranslated_{name}"]
    assert "healthy" not in same.metrics
    assert "cycle_error" not in same.metrics
    assert sum(translated.metrics[v] for v in VERDICTS) == 1
    assert same.cost["parameters"] == 0
    curves = set(outcome.store.curves(translated.id)["column"])
    assert {"g_loss", "d_loss", "d_real", "d_fake", "d_accuracy", "g_gradient", "d_gradient"} <= curves
    (folder,) = (f for f in (tmp_path / "store" / "logs").iterdir() if f.name.endswith(translated.id[:8]))
    assert {p.name for p in folder.iterdir()} == {"training.csv", "translations.png"}


def test_discriminators_outputs_are_told() -> None:
    """Discriminators that say 0 of everything take every image for translated: half are told right."""
    training = cycle()
    for name in ("d_a", "d_b"):
        for p in training.networks[name].parameters():
            nn.init.zeros_(p)
    values = training.step(images(0), images(1))
    assert (values["d_real"], values["d_fake"], values["d_accuracy"]) == (0, 0, 0.5)
    terms = ("g_adversarial", "g_cycle", "g_identity")
    assert values["g_loss"] == pytest.approx(sum(values[name] for name in terms))


@pytest.mark.usefixtures("quick_classifier")
def test_a_killed_translation_continues_to_the_same_result(tmp_path: Path) -> None:
    """Networks, optimisers, pools and random numbers, from the last checkpoint, which is at step 4."""
    whole = harness.run(SUITE, store=tmp_path / "whole", device="cpu").records[0]
    with pytest.raises(KeyboardInterrupt):
        harness.run(SUITE, store=tmp_path / "cut", device="cpu", listeners=[Stop()])
    assert list((tmp_path / "cut").rglob("training.safetensors"))
    again = harness.run(SUITE, store=tmp_path / "cut", device="cpu").records[0]
    assert whole.status == again.status == "ok", whole.reason
    assert again.metrics == whole.metrics
    assert {"cycle_error", "identity_error", "pixel_error", "accuracy", "frechet.floor"} <= set(whole.metrics)
    assert whole.directions["pixel_error"] is False


def test_pix2pix_needs_pairs(tmp_path: Path) -> None:
    folders(tmp_path, {"trainA": 3, "trainB": 4, "testA": 2, "testB": 1})
    suite = {**SUITE, "datasets": [{"plugin": "domains", "path": str(tmp_path)}], "methods": ["pix2pix"]}
    planned = list(harness.api.plan(suite, store=tmp_path / "store"))
    assert planned[0].state == "skipped"
    assert "pairs" in (planned[0].reason or "")
