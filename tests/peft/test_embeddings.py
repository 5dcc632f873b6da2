"""Methods that fit on embeddings under the fine-tuning protocol, and adapters put back into their base model."""

from __future__ import annotations

import json

import pytest
import torch

import harness
from harness.discovery import registry
from harness.errors import DataError, HarnessError
from harness_peft.protocol import Finetuning
from harness_peft.restore import restore_network
from harness_peft.training_checks import TrainingFault

SUITE = {
    "name": "embeddings",
    "protocol": {"plugin": "finetuning", "steps": 3, "batch": 8, "trials": 2},
    "models": [{"plugin": "tiny-clip", "steps": 0, "tower": "vit"}],
    "datasets": ["scenes"],
    "axes": {"shots": [2]},
    "metrics": ["top1", "nll"],
    "limit": 48,
    "seeds": [1],
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for the drawn scenes and the model trained on them."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("HARNESS_CACHE", str(cache))

    def go(**changes):
        harness.run({**SUITE, **changes}, store=tmp_path / "store", device="cpu")
        found = [json.loads(p.read_text()) for p in (tmp_path / "store" / "records").rglob("*.json")]
        return {r["coordinates"]["method"]: r for r in found}

    return go


def loaded(kind, name, **options):
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import parse_references

    (reference,) = parse_references({"plugin": name, **options}, "test")
    return Resolver().resolve(kind, reference, "test").object


def test_logits(network, model, dataset, record):
    """Top-1 and mean cross-entropy of a network on the limited test split, as the record has them."""
    from harness.contract.seeds import derive_seed
    from harness.inference.split_subsets import draw_subset

    split = dataset.load("test")
    split = draw_subset(split, SUITE["limit"], derive_seed("limit", SUITE["limit"]))
    from harness.inference.images import decode

    images = torch.stack([model.prepare(decode(split[i].image)) for i in range(len(split))])
    with torch.inference_mode():
        logits = network(images)
    targets = torch.as_tensor(split.targets)
    top1 = float((logits.argmax(1) == targets).float().mean())
    assert top1 == pytest.approx(record["metrics"]["top1"])
    loss = float(torch.nn.functional.cross_entropy(logits, targets))
    assert loss == pytest.approx(record["metrics"]["nll"], abs=1e-4)


test_logits.__test__ = False


def test_adapters_of_the_prompts_suite_and_their_files(run, tmp_path):
    """Fitted, counted, stored and put back; the probe, LoRA and CLIP-LoRA too, each from its own file."""
    methods = [
        "clip-adapter",
        "tip-adapter",
        {"plugin": "tip-adapter-f", "views": 2, "epochs": 2},
        {"plugin": "probe", "features": "penultimate"},
        {"plugin": "lora", "rank": 2},
        "clip-lora",
        "wise-ft",
    ]
    kept = tmp_path / "kept"
    found = run(methods=methods, protocol={**SUITE["protocol"], "keep": str(kept)})
    assert {m: r["reason"] for m, r in found.items() if r["status"] != "ok"} == {}
    trained = {m: r["cost"]["trainable_without_head"] for m, r in found.items()}
    model = loaded("models", "tiny-clip", steps=0, tower="vit")
    model.load(torch.device("cpu"))
    width = model.encode_text(["a"]).shape[1]
    assert trained["clip-adapter"] == 2 * width * (width // 4)
    assert trained["tip-adapter"] == 0
    (tip_f,) = (m for m in trained if m.startswith("tip-adapter-f"))
    assert trained[tip_f] == width * found[tip_f]["notes"]["training_samples"]
    assert found[tip_f]["notes"]["method"]["selected_on"] == "validation shots"
    for name in ("clip-adapter", tip_f):
        tuning = found[name]["notes"]["tuning"]
        assert tuning["trials"] == 2 == len(tuning["validation_accuracy"])
        assert tuning["chosen"] in tuning["candidates"]
    assert found["tip-adapter"]["notes"]["tuning"]["what"] == "the method's own settings"
    assert found["tip-adapter"]["cost"]["backprop_share"] == 0
    before = {n: t.clone() for n, t in model.module.state_dict().items()}
    dataset = loaded("datasets", "scenes")
    for record in found.values():
        path = kept / f"{record['id']}.safetensors"
        assert path.stat().st_size == record["cost"]["adapter_bytes"]
        test_logits(restore_network(path, model), model, dataset, record)
    assert all(torch.equal(t, before[n]) for n, t in model.module.state_dict().items())


class Gains:
    """A method from outside: one factor per block, on its output; it stores the factors and the head alone."""

    rates = (1e-2, 1e-1)

    def __init__(self, start: float = 1.0) -> None:
        self.start = start

    def prepare(self, network):
        for block in network.blocks():
            block.register_parameter("gain", torch.nn.Parameter(torch.full((), self.start)))
            block.register_forward_hook(lambda module, _, output: module.gain * output)

    def state(self, network):
        return {n: p for n, p in network.named_parameters() if n.endswith("gain") or n.startswith("head")}


class Plain:
    """The smallest method there can be."""

    def prepare(self, network):
        network.blocks()[0].norm1.requires_grad_(True)


class Idle:
    """Counts a tensor as trained that nothing depends on."""

    def prepare(self, network):
        network.backbone.register_parameter("idle", torch.nn.Parameter(torch.zeros(3)))


class Meddling:
    """Changes a frozen tensor in every forward pass."""

    def prepare(self, network):
        def meddle(module, inputs):
            with torch.no_grad():
                module.weight.add_(1e-3)

        network.blocks()[0].mlp.fc1.register_forward_pre_hook(meddle)


@pytest.fixture
def outside(monkeypatch):
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    registry.register("methods", "acme-gains", Gains)
    registry.register("methods", "acme-plain", Plain)
    registry.register("methods", "acme-idle", Idle)
    registry.register("methods", "acme-meddling", Meddling)
    yield
    monkeypatch.undo()
    registry.refresh()


def test_a_method_from_outside_trains_stores_and_comes_back(outside, run, tmp_path):
    from safetensors import safe_open

    kept = tmp_path / "kept"
    methods = [{"plugin": "acme-gains", "start": 0.9}, "acme-plain"]
    found = run(
        methods=methods,
        models=[{"plugin": "tiny-vit", "steps": 0}],
        protocol={**SUITE["protocol"], "keep": str(kept), "checkpoint_every": 1},
    )
    assert {m: r["reason"] for m, r in found.items() if r["status"] != "ok"} == {}
    (gains,) = (m for m in found if m.startswith("acme-gains"))
    assert found[gains]["cost"]["trainable_without_head"] == 3
    assert found["acme-plain"]["cost"]["trainable_without_head"] == 2 * 64
    model = loaded("models", "tiny-vit", steps=0)
    model.load(torch.device("cpu"))
    path = kept / f"{found[gains]['id']}.safetensors"
    with safe_open(path, "pt") as file:
        names = {n.rpartition(".")[2] for n in file.keys()}  # noqa: SIM118 - no mapping
        assert names == {"gain", "weight", "bias"}
        assert all(float(file.get_tensor(n)) != 0.9 for n in file.keys() if n.endswith("gain"))  # noqa: SIM118
    for record in found.values():
        network = restore_network(kept / f"{record['id']}.safetensors", model)
        test_logits(network, model, loaded("datasets", "scenes"), record)


def test_a_cell_that_breaks_its_word_fails(outside, run):
    found = run(models=[{"plugin": "tiny-vit", "steps": 0}], methods=["acme-idle", "acme-meddling"])
    assert [r["status"] for r in found.values()] == ["failed", "failed"]
    assert (
        "1 trainable tensors got no gradient in 2 steps, first 'backbone.idle'"
        in found["acme-idle"]["reason"]
    )
    assert (
        "frozen tensors changed while training, first 'backbone.blocks.0.mlp.fc1.weight'"
        in (found["acme-meddling"]["reason"])
    )


def test_a_file_that_is_no_adapter_is_refused_in_one_line(tmp_path):
    from harness.learning.checkpoints import save_tensors

    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(DataError, match="not a checkpoint that can be read"):
        restore_network(tmp_path / "text.safetensors", None)
    save_tensors(tmp_path / "bare.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(DataError, match="does not say which method"):
        restore_network(tmp_path / "bare.safetensors", None)


def test_what_takes_no_part_in_a_fitted_head_fails(network):
    """CLIP-Adapter of ratio 0 counts a bottleneck that no gradient reaches."""

    from harness_peft.adapted_network import FittedHead
    from harness_peft.embedding_heads import _check_gradients
    from harness_prompts.adapter_heads import ClipAdapterHead, build_bottleneck

    net = network("clip")
    net.requires_grad_(False)
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(12, 16), dim=-1)
    weights, labels = torch.nn.functional.normalize(torch.randn(3, 16), dim=-1), torch.arange(12) % 3
    for ratio, reaches in ((0.2, True), (0.0, False)):
        net.head = FittedHead(ClipAdapterHead(build_bottleneck(16, 8), weights, (20.0, ratio)))
        if reaches:
            _check_gradients(net, features, labels)
        else:
            with pytest.raises(TrainingFault, match=r"head\.fitted\.layers"):
                _check_gradients(net, features, labels)


class NoHead:
    """Fits, but gives nothing that can be stored."""

    def fit(self, task):
        return object()

    def rebuild(self, tensors):
        raise AssertionError


@pytest.mark.parametrize("wrong", [0, -1, True, "some", 1.5])
def test_shots_that_mean_nothing_are_refused(wrong):
    clip, scenes = loaded("models", "tiny-clip", steps=0), loaded("datasets", "scenes")
    reason = Finetuning(steps=1).cannot(clip, scenes, loaded("methods", "clip-adapter"), {"shots": wrong})
    assert reason == f"shots must be a positive whole number or 'all', not {wrong!r}"


def test_what_can_not_be_fitted_here_says_so(run, monkeypatch):
    protocol = Finetuning(steps=1)
    clip = loaded("models", "tiny-clip", steps=0)
    vit = loaded("models", "tiny-vit", steps=0)
    scenes = loaded("datasets", "scenes")
    adapter, coop = loaded("methods", "clip-adapter"), loaded("methods", "coop")
    assert protocol.cannot(clip, scenes, adapter, {"shots": 2}) is None
    assert (
        protocol.cannot(vit, scenes, adapter, {"shots": 2})
        == "the method needs an image-text model, such as tiny-clip or open_clip"
    )
    assert "'fit' and 'rebuild'" in protocol.cannot(clip, scenes, coop, {"shots": 2})
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    registry.register("methods", "no-head", NoHead)
    try:
        record = run(methods=["no-head"])["no-head"]
    finally:
        monkeypatch.undo()
        registry.refresh()
    assert record["status"] == "failed"
    assert "without 'head'" in record["reason"]
    assert issubclass(TrainingFault, HarnessError)
