"""The weights in the package are what their recipes give, and damage is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from harness import DataError
from harness_embedded import packaged_weights
from harness_embedded.digits import Digits
from harness_embedded.package_weights import list_packaged, train_changes
from harness_embedded.packaged_weights import find_changes, load_changes
from harness_embedded.pretraining import seed_pretraining
from harness_embedded.scenes import Scenes
from harness_embedded.tiny_models import TinyCLIP, TinyResNet, TinyViT

CPU = torch.device("cpu")


@pytest.mark.parametrize("model", list_packaged(), ids=lambda m: m.packaged_file.stem)
def test_every_listed_model_has_its_file_and_loads_without_training(
    model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert model.packaged_file.is_file(), "run `python -m harness_embedded.package_weights`"
    monkeypatch.setattr(type(model), "train", lambda *_: pytest.fail("trained"))
    model.load(CPU)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_folder_holds_no_other_files() -> None:
    listed = {model.packaged_file for model in list_packaged()}
    assert set(packaged_weights.FOLDER.glob("*.safetensors")) == listed
    assert sum(path.stat().st_size for path in listed) < 20e6


@pytest.mark.parametrize(
    "model", [TinyResNet("digits"), TinyCLIP("vit", steps=50)], ids=["labels", "captions"]
)
def test_training_anew_gives_the_packaged_weights(model, tmp_path: Path) -> None:
    """Equal to the last bit on like machines; on others rounding differs, and the answers must agree."""
    from safetensors.torch import save_file

    changes = train_changes(model)
    model.load(CPU)
    save_file(changes, tmp_path / "anew.safetensors")
    with seed_pretraining(model.seed):
        anew = model.build()
    load_changes(anew, tmp_path / "anew.safetensors")
    test = Digits().load("test") if isinstance(model, TinyResNet) else Scenes().load("test")
    images = torch.stack([model.prepare(Image.fromarray(test[i].image)) for i in range(0, len(test), 2)])
    with torch.inference_mode():
        if isinstance(model, TinyResNet):
            packaged, again = (m(images).argmax(1) for m in (model.module, anew.eval()))
            assert (packaged == again).float().mean() > 0.97
        else:
            features = [m.encode_image(images, normalize=True) for m in (model.clip, anew.eval())]
            assert (features[0] * features[1]).sum(1).mean() > 0.9


def test_changes_restore_a_module_to_the_bit() -> None:
    torch.manual_seed(0)
    module = torch.nn.ModuleDict({"table": torch.nn.Embedding(50, 4), "layer": torch.nn.Linear(4, 4)})
    initial = {k: v.clone() for k, v in module.state_dict().items()}
    with torch.no_grad():
        module["table"].weight[[3, 17]] += 1
        module["layer"].bias += 1
    trained = {k: v.clone() for k, v in module.state_dict().items()}
    changes = find_changes(initial, trained)
    assert {k: tuple(v.shape) for k, v in changes.items()} == {
        "table.weight#rows": (2,),
        "table.weight#values": (2, 4),
        "layer.bias": (4,),
    }
    for name, value in changes.items():
        whole, _, part = name.partition("#")
        if part == "values":
            initial[whole][changes[f"{whole}#rows"].long()] = value
        elif not part:
            initial[whole] = value
    assert all(torch.equal(initial[k], trained[k]) for k in trained)


@pytest.mark.parametrize("damage", [b"", b"torn", None])
def test_damaged_weights_end_in_one_line(
    damage: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TinyResNet("digits")
    copy = tmp_path / model.packaged_file.name
    whole = model.packaged_file.read_bytes()
    copy.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    monkeypatch.setattr(packaged_weights, "FOLDER", tmp_path)
    with pytest.raises(DataError, match="the packaged weights are damaged") as caught:
        model.load(CPU)
    assert "\n" not in str(caught.value)


def test_what_identifies_the_file_identifies_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TinyViT("digits")
    packaged, other = model.fingerprint(), TinyResNet("digits").packaged_file
    assert packaged.startswith(f"{model.recipe}+packaged-")
    monkeypatch.setattr(packaged_weights, "FOLDER", tmp_path)
    assert model.fingerprint() == model.recipe  # trained on this machine
    shutil.copy(other, model.packaged_file)
    packaged_weights.digest_packaged_file.cache_clear()
    assert model.fingerprint() not in (packaged, model.recipe)
    assert TinyViT("digits", seed=7).fingerprint() == model.recipe
