"""Image folders: layouts, order, class lists, and what is wrong with files and folders."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.contract.data import Dataset, Split
from harness.errors import DataError
from harness.inference.images import decode
from harness_data.image_folder import ImageFolder


def put(path: Path, mode: str = "RGB", size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 128 if mode in ("L", "P") else None).save(path)
    return path


@pytest.fixture
def pets(tmp_path):
    for split, number in (("train", 3), ("test", 2)):
        for name in ("cat", "big_dog"):
            for i in range(number):
                put(tmp_path / split / name / f"{i}.png")
    return tmp_path


def test_split_layout(pets):
    data = ImageFolder(pets)
    assert isinstance(data, Dataset)
    assert data.unavailable() is None
    assert data.splits == ("test", "train")
    split = data.load("test")
    assert isinstance(split, Split)
    assert list(split.ids) == ["big_dog/0.png", "big_dog/1.png", "cat/0.png", "cat/1.png"]
    assert split.targets.tolist() == [0, 0, 1, 1]
    assert split.class_names == ["big dog", "cat"]
    sample = split[2]
    assert (sample.id, sample.label) == ("cat/0.png", 1)
    assert sample.image.data == (pets / "test/cat/0.png").read_bytes()
    assert sample.image.name == str(pets / "test/cat/0.png")
    assert len(list(split)) == len(split) == 4


def test_flat_layout_has_one_split(pets):
    data = ImageFolder(pets / "train")
    assert data.splits == ("test",)
    assert data.load("test").targets.tolist() == [0] * 3 + [1] * 3


def test_class_missing_from_one_split_shifts_no_label(pets):
    put(pets / "train" / "ant" / "0.png")
    assert ImageFolder(pets).load("test").targets.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("name", ["../train", "..", ".", "", "/etc", "cat/"])
def test_a_listed_class_can_not_lead_out_of_the_folder(pets, name):
    with pytest.raises(DataError, match="can't be the name of a class folder"):
        ImageFolder(pets / "test", classes=["cat", "big_dog", name]).load("test")


def test_lists_with_a_byte_order_mark(pets):
    for name, content in (
        ("classes.txt", "cat\nbig_dog\n"),
        ("names.json", '{"cat": "tabby", "big_dog": "hound"}'),
    ):
        (pets / name).write_text(content, encoding="utf-8-sig")
    given = {"classes": pets / "classes.txt", "class_names": pets / "names.json"}
    assert ImageFolder(pets, **given).load("test").class_names == ["tabby", "hound"]
    assert ImageFolder(pets, class_names=pets / "classes.txt").load("test").class_names == ["cat", "big_dog"]


def test_names_that_are_no_utf8_can_be_read_and_written(tmp_path):
    (tmp_path / "tree").mkdir()
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    for name in (b"p\xe2t\xe9.png", b"p\xe2t\xe8.png"):
        put(tmp_path / "0.png").rename(folder / os.fsdecode(name))
    split = ImageFolder(tmp_path).load("test")
    assert list(split.ids) == [r"caf\xe9/p\xe2t\xe8.png", r"caf\xe9/p\xe2t\xe9.png"]
    assert split.class_names == [r"caf\xe9", "tree"]
    assert split[1].image.name == str(tmp_path / r"caf\xe9/p\xe2t\xe9.png")
    assert decode(split[1].image).size == (8, 6)
    before = ImageFolder(tmp_path).fingerprint()
    (folder / os.fsdecode(b"p\xe2t\xe8.png")).unlink()
    assert ImageFolder(tmp_path).fingerprint() != before


def test_empty_class_folder_keeps_its_label(pets):
    (pets / "train" / "bee").mkdir()
    split = ImageFolder(pets / "train").load("test")
    assert split.class_names == ["bee", "big dog", "cat"]
    assert sorted(set(split.targets.tolist())) == [1, 2]


def test_what_is_no_image_is_ignored(pets):
    folder = pets / "test" / "cat"
    (folder / "README.txt").write_text("about cats")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "._0.png").write_bytes(b"")
    (pets / "test" / "README.txt").write_text("about pets")
    (pets / "test" / ".cache").mkdir()
    assert list(ImageFolder(pets).load("test").ids) == [
        "big_dog/0.png",
        "big_dog/1.png",
        "cat/0.png",
        "cat/1.png",
    ]


def test_nested_folders_and_upper_case_suffixes(tmp_path):
    put(tmp_path / "a" / "one.PNG")
    put(tmp_path / "a" / "deeper" / "two.png")
    (tmp_path / "a" / "deeper" / "loop").symlink_to(tmp_path / "a")
    split = ImageFolder(tmp_path, layout="flat").load("test")
    assert list(split.ids) == ["a/deeper/two.png", "a/one.PNG"]


def test_order_does_not_depend_on_the_file_system(tmp_path):
    for name in ("10.png", "2.png", "b.png", "B.png"):
        put(tmp_path / "x" / name)
    assert list(ImageFolder(tmp_path).load("test").ids) == ["x/10.png", "x/2.png", "x/B.png", "x/b.png"]


def test_splits_and_classes_mixed_up(pets):
    put(pets / "loose" / "0.png")
    data = ImageFolder(pets)
    assert data.splits == ("test", "train")
    assert list(data.remarks) == [
        "'loose' beside 'test', 'train' is left out: not a split's name, and not the same classes"
    ]
    assert ImageFolder(pets, layout="splits").splits == ("loose", "test", "train")
    put(pets / "valid" / "unlabelled.png")
    assert "'valid' has a split's name, but holds images" in str(ImageFolder(pets).unavailable())


def test_folders_of_folders_that_are_called_like_no_split_are_not_guessed_at(tmp_path):
    for colour in ("red", "green", "blue"):
        for clip in ("v1", "v2"):
            put(tmp_path / colour / clip / "0.png")
    data = ImageFolder(tmp_path)
    assert "'blue', 'green', 'red' hold folders, and none has a split's name" in data.unavailable()
    assert 'layout = "flat"' in data.unavailable()
    flat = ImageFolder(tmp_path, layout="flat").load("test")
    assert (flat.class_names, len(flat)) == (["blue", "green", "red"], 6)
    put(tmp_path / "yellow" / "0.png")
    assert "'blue' holds folders and 'yellow' holds images" in ImageFolder(tmp_path).unavailable()


def test_a_folder_above_the_split_folders_names_the_one_that_is_meant(pets):
    for name in ("train", "test"):
        (pets / "images").mkdir(exist_ok=True)
        (pets / name).rename(pets / "images" / name)
    assert f"did you mean {pets / 'images'}?" in ImageFolder(pets).unavailable()


@pytest.mark.parametrize("name", ["valid", "Validation", "dev", "EVAL", "Testing"])
def test_one_known_split_makes_the_first_level_splits(tmp_path, name):
    put(tmp_path / name / "cat" / "0.png")
    put(tmp_path / "Train" / "cat" / "0.png")
    data = ImageFolder(tmp_path)
    assert (set(data.splits), list(data.remarks)) == ({name, "Train"}, [])


def test_unknown_folders_beside_splits_are_told(pets):
    for name in ("cat", "big_dog"):
        put(pets / "test_small" / name / "0.png")
    put(pets / "masks" / "left" / "0.png")
    (pets / "empty").mkdir()
    data = ImageFolder(pets)
    assert data.splits == ("test", "test_small", "train")
    assert [text.split(" beside ")[0] for text in data.remarks] == [
        "'test_small'",
        "'masks'",
    ]
    assert data.load("test").class_names == ["big dog", "cat"]


def test_numbers_in_class_folders_are_in_natural_order(tmp_path):
    for i in range(12):
        put(tmp_path / str(i) / "0.png")
    data = ImageFolder(tmp_path)
    assert data.load("test").class_names == [str(i) for i in range(12)]
    assert "'2' is class 2); torchvision's ImageFolder takes '10' there" in data.class_order
    plain = ImageFolder(tmp_path, order="lexicographic")
    assert plain.load("test").class_names == sorted(map(str, range(12)))
    assert plain.class_order == "" == ImageFolder(tmp_path, order="natural").class_order
    (tmp_path / "10").rename(tmp_path / "a")
    (tmp_path / "11").rename(tmp_path / "b")
    assert ImageFolder(tmp_path).class_order == ""


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("Cat", "cat", "'Cat' in 'test' is 'cat' in 'train'"),
        ("hot_dog", "hot-dog", "'hot_dog' in 'test' is 'hot-dog' in 'train'"),
        ("caf\u00e9", "cafe\u0301", "with other code points"),
    ],
)
def test_a_class_spelled_otherwise_in_another_split_is_the_same(tmp_path, one, other, said):
    for split, name in (("test", one), ("train", other)):
        put(tmp_path / split / name / "0.png")
        put(tmp_path / split / "zebra" / "0.png")
    data = ImageFolder(tmp_path)
    assert data.class_keys == [one, "zebra"]
    for split in ("train", "test"):
        assert sorted(data.load(split).targets.tolist()) == [0, 1]
    (told,) = data.remarks
    assert "1 class folder is spelled differently in another split and taken for the same class" in told
    assert said in told
    put(tmp_path / "train" / one / "0.png")  # this split tells them apart
    assert ImageFolder(tmp_path).class_keys == sorted([one, other, "zebra"])


def test_what_planning_knows_of_the_classes(pets):
    data = ImageFolder(pets, class_names=["hound", "tabby"])
    assert (data.class_names, data.class_keys) == (["hound", "tabby"], ["big_dog", "cat"])


def test_splits_without_class_folders_are_not_taken_for_classes(tmp_path):
    for name in ("train/1.png", "test/2.png"):
        put(tmp_path / name)
    assert "'test' has a split's name, but holds images" in (ImageFolder(tmp_path).unavailable() or "")
    assert ImageFolder(tmp_path, layout="flat").load("test").class_names == ["test", "train"]
    put(tmp_path / "cat" / "3.png")
    assert ImageFolder(tmp_path).unavailable() is not None
    (tmp_path / "test").rename(tmp_path / "bus")
    assert ImageFolder(tmp_path).load("test").class_names == ["bus", "cat", "train"]


def test_missing_split_names_the_ones_there(pets):
    with pytest.raises(DataError, match=r"no split 'tests'; did you mean 'test'"):
        ImageFolder(pets).load("tests")


def test_missing_folder(tmp_path):
    data = ImageFolder(tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'}: no such folder" in data.unavailable()
    assert data.splits == ()
    with pytest.raises(DataError, match="no such folder"):
        data.load("test")
    file = put(tmp_path / "x.png")
    assert "is a file" in ImageFolder(file).unavailable()


@pytest.mark.parametrize("make", [[], ["cat"], ["cat", "dog"]])
def test_no_images_at_all(tmp_path, make):
    for name in make:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=f"{tmp_path}.*(no images|no class folders)"):
        ImageFolder(tmp_path).load("test")


def test_given_classes_order_the_labels(pets):
    split = ImageFolder(pets, classes=["cat", "big_dog", "emu"]).load("test")
    assert split.targets.tolist() == [1, 1, 0, 0]
    assert split.class_names == ["cat", "big dog", "emu"]


def test_folder_outside_the_class_list(pets):
    with pytest.raises(
        DataError, match=r"train/big_dog: 'big_dog' is not in the list.*did you mean 'big-dog'"
    ):
        ImageFolder(pets, classes=["cat", "big-dog"]).load("train")
    with pytest.raises(DataError, match="'cat' is listed twice"):
        ImageFolder(pets, classes=["cat", "cat", "big_dog"]).load("train")


def test_class_names_from_list_and_files(pets, tmp_path):
    text, mapping = tmp_path / "names.txt", tmp_path / "names.json"
    text.write_text("a large dog\n\na cat\n")
    mapping.write_text('{"cat": "a cat", "big_dog": "a large dog"}')
    for given in (["a large dog", "a cat"], text, mapping):
        assert ImageFolder(pets, class_names=given).load("test").class_names == ["a large dog", "a cat"]
    with pytest.raises(DataError, match="3 names for the 2 classes"):
        ImageFolder(pets, class_names=["a", "b", "c"]).load("test")
    mapping.write_text('{"cat": "a cat"}')
    with pytest.raises(DataError, match=r"names\.json: no name for class 'big_dog'"):
        ImageFolder(pets, class_names=mapping).load("test")


def test_templates(pets):
    assert ImageFolder(pets).load("test").templates is None
    assert ImageFolder(pets, templates=["a {c}.", "the {}"]).load("test").templates == ["a {}.", "the {}"]
    with pytest.raises(DataError, match=r"'a photo' has no place \{\}"):
        ImageFolder(pets, templates=["a photo"]).load("test")


def test_fingerprint_sees_what_decides_the_result(pets):
    before = ImageFolder(pets).fingerprint()
    assert ImageFolder(pets).fingerprint() == before
    (pets / "test" / "cat" / "README.txt").write_text("no image")
    assert ImageFolder(pets).fingerprint() == before
    assert ImageFolder(pets, class_names=["x", "y"]).fingerprint() != before
    put(pets / "test" / "cat" / "2.png")
    more = ImageFolder(pets).fingerprint()
    assert more != before
    put(pets / "test" / "cat" / "2.png", size=(80, 60))
    assert ImageFolder(pets).fingerprint() != more


def test_fingerprint_does_not_depend_on_the_place(pets, tmp_path_factory):
    import shutil

    other = tmp_path_factory.mktemp("other") / "pets"
    shutil.copytree(pets, other)
    assert ImageFolder(other).fingerprint() == ImageFolder(pets).fingerprint()


def test_all_kinds_of_images_decode_to_rgb(tmp_path):
    folder = tmp_path / "x"
    put(folder / "cmyk.jpg", "CMYK")
    put(folder / "grey.png", "L")
    put(folder / "palette.png", "P")
    put(folder / "transparent.png", "RGBA")
    put(folder / "sixteen.png", "I;16")
    for sample in ImageFolder(tmp_path).load("test"):
        image = decode(sample.image)
        assert image.mode == "RGB"
        assert np.asarray(image).shape == (6, 8, 3)


def test_damaged_files_are_refused_by_name(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "x"
    folder.mkdir()
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / "cut.jpg")
    whole = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no image at all")
    split = ImageFolder(tmp_path).load("test")
    assert len(split) == 3
    for sample in split:
        with pytest.raises(DataError, match=str(folder / sample.id.split("/")[1])):
            decode(sample.image)


def test_file_that_cannot_be_read(tmp_path):
    put(tmp_path / "x" / "good.png")
    (tmp_path / "x" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    split = ImageFolder(tmp_path).load("test")
    assert list(split.ids) == ["x/gone.png", "x/good.png"]
    with pytest.raises(DataError, match=r"x/gone\.png: can't be read"):
        split[0]


def test_label_space_is_kept(pets):
    assert ImageFolder(pets, label_space="imagenet-1k").label_space == "imagenet-1k"


def test_a_folder_is_found_below_the_data_root(pets, monkeypatch):
    monkeypatch.chdir(pets)
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(pets.parent))
    assert ImageFolder(Path("train")).path == Path("train")  # what lies here comes first
    assert ImageFolder(Path(pets.name)).unavailable() is None
    assert "nowhere" in ImageFolder(Path("nowhere")).unavailable()


def test_images_beside_the_class_folders_of_a_split_are_named_as_such(pets):
    put(pets / "test" / "stray.png")
    said = ImageFolder(pets).unavailable()
    assert "'test' has a split's name, but holds images beside its folders 'big_dog', 'cat'" in said


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["big dog", "cat"], False),
        (["hound", "kitten"], False),
        (["cat", "big dog"], True),
        (["cat", "Cat"], True),
        (["dog", "big dog"], True),
    ],
)
def test_names_of_other_folders_are_told(pets, names, told):
    said = [
        text for text in ImageFolder(pets, class_names=names).remarks if text.startswith("class_names gives")
    ]
    assert bool(said) == told
    if told:
        assert "matched to the folders in order" in said[0]
