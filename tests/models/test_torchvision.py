"""torchvision's models and data sets: the same numbers as torchvision's own, one clear line else."""

from __future__ import annotations

import importlib.machinery
import io
import json
import pickle
import re
import sys
import types
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import torchvision.transforms as T
from PIL import Image
from scipy.io import savemat

from harness.contract.capability import capabilities
from harness.contract.data import Dataset, EncodedImage, Split
from harness.errors import DataError, OptionError, Unavailable
from harness.inference.images import decode
from harness_timm.library_sources import registered_models
from harness_torchvision.catalogue import CATALOGUE
from harness_torchvision.datasets import TorchvisionDataset
from harness_torchvision.models import TorchvisionModel

CPU = torch.device("cpu")


def photo(height: int = 210, width: int = 333) -> Image.Image:
    """A random RGB image that is no square and no multiple of anything."""
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def by_hand(preparation) -> T.Compose:
    """What the contract says a `Preparation` means, in torchvision's words."""
    return T.Compose(
        [
            T.Resize(preparation.resize, T.InterpolationMode(preparation.interpolation)),
            T.CenterCrop(preparation.crop),
            T.ToTensor(),
            T.Normalize(preparation.mean, preparation.std),
        ]
    )


# ---------------------------------------------------------------- models


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "mobilenet_v3_small"])
def test_answers_equal_the_bare_network_bit_for_bit(tmp_path, name):
    torch.manual_seed(1)
    network = torchvision.models.get_model(name, weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = TorchvisionModel(name, checkpoint=tmp_path / "w.pth", label_space="imagenet-1k")
    model.load(CPU)
    prepared = model.prepare(photo())
    assert torch.equal(prepared, torchvision.models.get_model_weights(name).DEFAULT.transforms()(photo()))
    assert torch.equal(by_hand(model.preparation)(photo()), prepared)
    with torch.inference_mode():
        logits, features = model.classify(prepared[None]), model.encode_image(prepared[None])
        assert torch.equal(logits, network(prepared[None]))
        assert torch.equal(model.module.get_submodule(model._head)(features), logits)
    assert capabilities(model) == ["classifies images", "encodes images", "exposes its module"]


def test_every_weights_preprocessing_is_said_exactly():
    from harness_torchvision.models import build_torchvision_preparation

    seen = set()
    for name in torchvision.models.list_models(module=torchvision.models):
        for entry in torchvision.models.get_model_weights(name):
            transform = entry.transforms()
            preparation = build_torchvision_preparation(transform)
            if preparation not in seen:
                seen.add(preparation)
                assert torch.equal(by_hand(preparation)(photo(270, 300)), transform(photo(270, 300))), entry
    assert len(seen) > 10


def test_published_weights_are_loaded_as_torchvision_loads_them(monkeypatch):
    """GoogLeNet has it all: two extra heads in the file, input that its builder re-scales."""
    torch.manual_seed(2)
    source = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)
    entry = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1
    asked = {}

    def published(self, **kwargs):
        asked.update(kwargs)
        return source.state_dict()

    monkeypatch.setattr(torchvision.models.GoogLeNet_Weights, "get_state_dict", published)
    model = TorchvisionModel("googlenet")
    model.load(CPU)
    assert asked["weights_only"] is True
    theirs = torchvision.models.googlenet(weights=entry).eval()
    batch = model.prepare(photo())[None]
    with torch.inference_mode():
        assert torch.equal(model.classify(batch), theirs(batch))


def test_old_names_in_densenets_published_files_are_understood(tmp_path):
    torch.manual_seed(3)
    network = torchvision.models.densenet121(weights=None).eval()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", k): v
        for k, v in network.state_dict().items()
    }
    # files of that age have no counters in their batch norms either
    old = {k: v for k, v in old.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "w.pth")
    model = TorchvisionModel("densenet121", checkpoint=tmp_path / "w.pth", label_space="imagenet-1k")
    model.load(CPU)
    batch = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(model.classify(batch), network(batch))


def test_the_head_follows_the_checkpoint_or_the_option(tmp_path):
    network = torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=37).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = TorchvisionModel("shufflenet_v2_x0_5", checkpoint=tmp_path / "w.pth", label_space="pets")
    model.load(CPU)
    batch = model.prepare(photo())[None]
    with torch.inference_mode():
        assert torch.equal(model.classify(batch), network(batch))
    fresh = TorchvisionModel("shufflenet_v2_x0_5", weights="none", num_classes=5, label_space="five")
    fresh.load(CPU)
    assert fresh.classify(batch).shape == (1, 5)
    options = {"checkpoint": tmp_path / "w.pth", "label_space": "imagenet-1k"}
    wrong = TorchvisionModel("shufflenet_v2_x0_5", **options)
    wrong.load(CPU)
    with pytest.raises(OptionError, match="37 outputs, not imagenet-1k's 1000"):
        wrong.classify(batch)
    torch.save({"fc.weight": torch.zeros(3, 2)}, tmp_path / "w.pth")
    with pytest.raises(OptionError, match="does not fit the architecture"):
        TorchvisionModel("shufflenet_v2_x0_5", checkpoint=tmp_path / "w.pth").load(CPU)


def test_capabilities_follow_the_options():
    assert capabilities(TorchvisionModel("resnet50"))[0] == "classifies images"
    assert "classifies images" not in capabilities(TorchvisionModel("resnet50", num_classes=37))
    assert "encodes images" not in capabilities(TorchvisionModel("squeezenet1_0"))


def test_unknown_names_are_refused_with_the_nearest():
    assert registered_models("torchvision")[0] == set(torchvision.models.list_models(torchvision.models))
    with pytest.raises(OptionError, match=re.escape("did you mean 'resnet50'?")):
        TorchvisionModel("resnet-50")
    with pytest.raises(OptionError, match=re.escape("did you mean 'IMAGENET1K_V2'?")):
        TorchvisionModel("resnet50", weights="IMAGENET1K_V3").load(CPU)


def test_without_a_network_one_line_says_which_file_to_fetch(monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(Unavailable) as caught:
        TorchvisionModel("resnet18").load(CPU)
    assert "\n" not in str(caught.value)
    assert "/resnet18-" in str(caught.value)
    assert "checkpoint=FILE" in str(caught.value)


# ---------------------------------------------------------------- data sets


def jpeg(path: Path, seed: int) -> None:
    """A small random JPEG at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo(20 + seed, 30).save(path, quality=95)


def same_as_torchvision(split, source) -> None:
    """Every sample of the split has the pixels and the label of torchvision's own, in some order."""
    assert isinstance(split, Split)
    assert len(split) == len(source) > 0
    assert len(set(split.ids)) == len(split)
    ours = sorted(
        (np.asarray(decode(s.image)).tobytes(), s.label) for s in (split[i] for i in range(len(split)))
    )
    theirs = sorted((np.asarray(image.convert("RGB")).tobytes(), int(label)) for image, label in source)
    assert ours == theirs
    assert [split[i].label for i in range(len(split))] == split.targets.tolist()
    assert split.targets.dtype == np.int64


def test_fake_data_needs_nothing_and_its_splits_differ():
    data = TorchvisionDataset("fakedata")
    assert isinstance(data, Dataset)
    assert data.unavailable() is None
    source = torchvision.datasets.FakeData(64, (3, 32, 32), 10)
    same_as_torchvision(data.load("train"), source)
    assert not np.array_equal(np.asarray(data.load("test")[0].image), np.asarray(data.load("train")[0].image))


def test_a_set_kept_as_arrays(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        pixels = rng.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
        savemat(tmp_path / f"{name}_32x32.mat", {"X": pixels, "y": np.array([[1], [10], [3], [2]])})
    monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda self: True)
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path))
    data = TorchvisionDataset("SVHN")
    assert data.unavailable() is None
    split = data.load("test")
    same_as_torchvision(split, torchvision.datasets.SVHN(str(tmp_path), "test"))
    assert split.targets.tolist() == [1, 0, 3, 2]  # SVHN writes zero as class 10
    assert split.class_names[0] == "0"


def test_cifar_batches(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in ("train", "test"):
        rows = rng.integers(0, 256, (6, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "fine_labels": [0, 1, 2, 2, 1, 0]}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "aquarium_fish", "baby"]}))
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *a: True)
    data = TorchvisionDataset("CIFAR100", root=tmp_path)
    split = data.load("test")
    same_as_torchvision(split, torchvision.datasets.CIFAR100(str(tmp_path), train=False))
    assert split.class_names == ("apple", "aquarium fish", "baby")
    assert data.label_space == "cifar-100"


def test_sets_kept_as_files_give_the_files_bytes(tmp_path):
    base = tmp_path / "dtd" / "dtd"
    names = ["banded/banded_1.jpg", "dotted/dotted_2.jpg", "banded/banded_3.jpg"]
    for i, name in enumerate(names):
        jpeg(base / "images" / name, i)
    (base / "labels").mkdir()
    (base / "labels" / "test1.txt").write_text("\n".join(names))
    split = TorchvisionDataset("DTD", root=tmp_path).load("test")
    same_as_torchvision(split, torchvision.datasets.DTD(tmp_path, "test"))
    assert split.ids[0] == "dtd/dtd/images/banded/banded_1.jpg"
    assert isinstance(split[0].image, EncodedImage)
    assert split.class_names == ("banded", "dotted")
    (base / "images" / names[0]).unlink()
    with pytest.raises(DataError, match=r"banded_1\.jpg"):
        split[0]


def test_pets_train_is_the_sets_trainval(tmp_path):
    base = tmp_path / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for i, name in enumerate(["Abyssinian_1", "great_pyrenees_2", "Abyssinian_3"]):
        jpeg(base / "images" / f"{name}.jpg", i)
    lines = ["Abyssinian_1 1 1 1", "great_pyrenees_2 2 2 1", "Abyssinian_3 1 1 1"]
    (base / "annotations" / "trainval.txt").write_text("\n".join(lines))
    split = TorchvisionDataset("oxfordiiitpet", root=tmp_path).load("train")
    same_as_torchvision(split, torchvision.datasets.OxfordIIITPet(tmp_path, "trainval"))
    assert split.class_names == ("Abyssinian", "Great Pyrenees")
    assert split.targets.tolist() == [0, 0, 1]


@pytest.mark.parametrize("name", ["EuroSAT", "Country211", "RenderedSST2", "Caltech101", "SUN397", "Food101"])
def test_sets_in_folders_by_class(tmp_path, name):
    folders = {
        "EuroSAT": ("eurosat/2750/{}/{}_{}.jpg", "all", ("Forest", "River")),
        "Country211": ("country211/valid/{}/{}_{}.jpg", "val", ("AD", "AE")),
        "RenderedSST2": ("rendered-sst2/test/{}/{}_{}.png", "test", ("negative", "positive")),
        "Caltech101": ("caltech101/101_ObjectCategories/{0}/image_{2:04d}.jpg", "all", ("ant", "sea_horse")),
        "SUN397": ("SUN397/a/{}/sun_{}{}.jpg", "all", ("abbey", "airport_terminal")),
        "Food101": ("food-101/images/{}/{}_{}.jpg", "test", ("apple_pie", "waffles")),
    }
    pattern, wanted, classes = folders[name]
    files = [pattern.format(c, c, i) for c in classes for i in (1, 2)]
    for i, file in enumerate(files):
        jpeg(tmp_path / file, i)
    if name == "Caltech101":
        (tmp_path / "caltech101/101_ObjectCategories/BACKGROUND_Google").mkdir()
        (tmp_path / "caltech101/Annotations").mkdir()
    if name == "SUN397":
        (tmp_path / "SUN397/ClassName.txt").write_text("".join(f"/a/{c}\n" for c in classes))
    if name == "Food101":
        meta = tmp_path / "food-101/meta"
        meta.mkdir()

        (meta / "test.json").write_text(json.dumps({c: [f"{c}/{c}_1", f"{c}/{c}_2"] for c in classes}))
    split = TorchvisionDataset(name, root=tmp_path).load(wanted)
    own = {"Country211": {"split": "valid"}, "RenderedSST2": {"split": "test"}, "Food101": {"split": "test"}}
    same_as_torchvision(split, getattr(torchvision.datasets, name)(str(tmp_path), **own.get(name, {})))
    assert split.class_names == tuple(c.replace("_", " ") for c in classes)
    assert split.targets.tolist() == [0, 0, 1, 1]


def test_mnist_files(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(4).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        images = np.array([0x803, 5, 28, 28], ">i4").tobytes() + pixels.tobytes()
        labels = np.array([0x801, 5], ">i4").tobytes() + bytes([3, 1, 4, 1, 5])
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    split = TorchvisionDataset("MNIST", root=tmp_path).load("test")
    same_as_torchvision(split, torchvision.datasets.MNIST(str(tmp_path), train=False))
    before = TorchvisionDataset("MNIST", root=tmp_path).fingerprint()
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"what it was unpacked from")
    assert TorchvisionDataset("MNIST", root=tmp_path).fingerprint() == before
    labelled = bytearray((raw / "t10k-labels-idx1-ubyte").read_bytes())
    labelled[-1] += 1
    (raw / "t10k-labels-idx1-ubyte").write_bytes(labelled)
    assert TorchvisionDataset("MNIST", root=tmp_path).fingerprint() != before
    assert TorchvisionDataset("MNIST", root=tmp_path).remarks == []
    assert "identified by its name" in TorchvisionDataset("MNIST", root=tmp_path, download=True).remarks[0]
    assert split.targets.tolist() == [3, 1, 4, 1, 5]
    assert split.class_names == tuple("0123456789")


def test_flowers_keep_their_labels_when_their_files_are_sorted(tmp_path, monkeypatch):
    base = tmp_path / "flowers-102"
    for i in range(1, 5):
        jpeg(base / "jpg" / f"image_{i:05d}.jpg", i)
    savemat(base / "imagelabels.mat", {"labels": [[7, 1, 102, 7]]})
    savemat(base / "setid.mat", {"trnid": [[4, 1]], "valid": [[2, 4]], "tstid": [[3, 1, 2]]})
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_check_integrity", lambda self: True)
    split = TorchvisionDataset("Flowers102", root=tmp_path).load("test")
    same_as_torchvision(split, torchvision.datasets.Flowers102(tmp_path, "test"))
    assert [i[-5:-4] for i in split.ids] == ["1", "2", "3"]
    assert split.targets.tolist() == [6, 0, 101]
    assert split.class_names[0] == "pink primrose"


def test_aircraft_traffic_signs_and_cars(tmp_path):
    base = tmp_path / "fgvc-aircraft-2013b" / "data"
    for i, name in enumerate(("0034309", "0034958")):
        jpeg(base / "images" / f"{name}.jpg", i)
    (base / "variants.txt").write_text("707-320\nTu-154\n")
    (base / "images_variant_test.txt").write_text("0034309 Tu-154\n0034958 707-320\n")
    split = TorchvisionDataset("FGVCAircraft", root=tmp_path).load("test")
    same_as_torchvision(split, torchvision.datasets.FGVCAircraft(tmp_path, "test"))
    assert split.class_names == ("707-320", "Tu-154")

    signs = tmp_path / "gtsrb"
    for i in range(3):
        jpeg(signs / "GTSRB" / "Training" / f"{i:05d}" / "a.ppm", i)
    split = TorchvisionDataset("GTSRB", root=tmp_path).load("train")
    same_as_torchvision(split, torchvision.datasets.GTSRB(tmp_path, "train"))
    assert split.targets.tolist() == [0, 1, 2]

    cars = tmp_path / "stanford_cars"
    for i in range(2):
        jpeg(cars / "cars_test" / f"{i}.jpg", i)
    (cars / "devkit").mkdir()
    kind = [("fname", "O"), ("class", "O")]
    marked = np.array([("0.jpg", 2), ("1.jpg", 1)], kind)
    savemat(cars / "cars_test_annos_withlabels.mat", {"annotations": marked})
    savemat(
        cars / "devkit/cars_meta.mat", {"class_names": np.array(["AM General", "Acura RL"], dtype=object)}
    )
    split = TorchvisionDataset("StanfordCars", root=tmp_path).load("test")
    same_as_torchvision(split, torchvision.datasets.StanfordCars(tmp_path, "test"))
    assert split.class_names == ("AM General", "Acura RL")
    assert split.targets.tolist() == [1, 0]


def test_patch_camelyon_reads_its_labels_at_once(tmp_path, monkeypatch):
    """h5py is optional; a stand-in with the part of its interface that torchvision uses."""

    class File(dict):
        def __init__(self, path):
            super().__init__(np.load(io.BytesIO(Path(path).read_bytes())))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    data = TorchvisionDataset("PCAM", root=tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert "needs the package h5py" in (data.unavailable() or "")
    stand_in = types.ModuleType("h5py")
    stand_in.File = File
    stand_in.__spec__ = importlib.machinery.ModuleSpec("h5py", None)
    monkeypatch.setitem(sys.modules, "h5py", stand_in)
    (tmp_path / "pcam").mkdir()
    rng = np.random.default_rng(6)
    arrays = {
        "x": rng.integers(0, 256, (4, 96, 96, 3), np.uint8),
        "y": np.array([0, 1, 1, 0])[:, None, None, None],
    }
    for kind in ("x", "y"):
        file = tmp_path / "pcam" / f"camelyonpatch_level_2_split_test_{kind}.h5"
        with file.open("wb") as stream:
            np.savez(stream, **{kind: arrays[kind]})
    split = data.load("test")
    same_as_torchvision(split, torchvision.datasets.PCAM(str(tmp_path), "test"))
    assert split.targets.tolist() == [0, 1, 1, 0]


def test_a_missing_set_says_where_it_looked_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
    assert "HARNESS_DATA_ROOT" in (TorchvisionDataset("Food101").unavailable() or "")
    said = TorchvisionDataset("Food101", root=tmp_path).unavailable() or ""
    assert "food-101 below" in said
    assert "download=true" in said
    assert TorchvisionDataset("Food101", root=tmp_path, download=True).unavailable() is None
    by_hand_only = TorchvisionDataset("StanfordCars", root=tmp_path, download=True).unavailable() or ""
    assert "by hand" in by_hand_only
    assert "download=true" not in by_hand_only
    with pytest.raises(Unavailable, match="food-101"):
        TorchvisionDataset("Food101", root=tmp_path).load("test")
    (tmp_path / "food-101").mkdir()
    with pytest.raises(Unavailable, match="split 'test' can't be loaded: Dataset not found"):
        TorchvisionDataset("Food101", root=tmp_path).load("test")


def test_a_failing_download_is_one_clear_line(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(Unavailable, match="Name or service not known") as caught:
        TorchvisionDataset("DTD", root=tmp_path, download=True).load("test")
    assert "\n" not in str(caught.value)


def test_unknown_sets_and_splits_are_refused_with_the_nearest(tmp_path):
    with pytest.raises(OptionError, match=re.escape("did you mean 'CIFAR100'?")):
        TorchvisionDataset("cifar-100")
    with pytest.raises(OptionError, match="no split 'valid'; did you mean 'val'"):
        TorchvisionDataset("DTD", root=tmp_path).load("valid")


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_entry_of_the_catalogue_fits_torchvisions_signature(name):
    import inspect

    parameters = inspect.signature(getattr(torchvision.datasets, name)).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    entry = CATALOGUE[name]
    for arguments in entry.splits.values():
        assert open_ended or {*arguments, *entry.arguments} <= set(parameters)
    assert ("download" in parameters) or not entry.downloadable or not entry.places


def test_outputs_are_named_by_imagenet_or_by_a_file(tmp_path):
    assert TorchvisionModel("resnet18").class_keys[0] == "n01440764 tench, Tinca tinca"
    file = tmp_path / "names.txt"
    file.write_text("cat\ndog\n", encoding="utf-8")
    own = TorchvisionModel("resnet18", weights="none", class_names=file)
    assert (own.class_names, own.num_classes, own.class_keys) == (["cat", "dog"], 2, None)
    listed = TorchvisionModel("resnet18", weights="none", class_names=["cat", "dog"])
    assert own.fingerprint().startswith(listed.fingerprint() + " names:")
