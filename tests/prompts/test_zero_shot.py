"""Hand-written prompts: ensembles, their combinations, names and template sets."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from harness.errors import DataError, OptionError, Unavailable
from harness.inference.zeroshot import check_templates, text_classifier
from harness_few_shot import templates
from harness_prompts import prompt_class_names
from harness_prompts.methods.template_selection import TemplateSelection
from harness_prompts.methods.zero_shot import (
    PromptClassifier,
    ZeroShotDescriptions,
    ZeroShotEnsemble,
    ZeroShotTemplate,
    combine_templates,
)
from harness_prompts.protocol import FewShot
from harness_prompts.shots import split_base_and_new

SET = ["a photo of a {}.", "a sketch of a {}.", "{}", "the {} in the snow"]


def logits(task, method, class_names=None):
    return method.fit(task).logits(task.features, class_names or task.class_names)


def test_an_ensemble_of_one_is_the_single_template_and_so_is_a_repeated_one(task):
    single = logits(task, ZeroShotTemplate("a photo of a {}."))
    for how in ("embeddings", "logits", "probabilities", "raw-embeddings"):
        for given in (["a photo of a {}."], ["a photo of a {}."] * 5):
            found = logits(task, ZeroShotEnsemble(given, how))
            expected = single if how != "probabilities" else single.log_softmax(dim=1)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("how", ["embeddings", "logits", "probabilities", "raw-embeddings"])
def test_the_order_of_templates_does_not_matter(task, how):
    torch.testing.assert_close(
        logits(task, ZeroShotEnsemble(SET, how)),
        logits(task, ZeroShotEnsemble(SET[::-1], how)),
        atol=1e-4,
        rtol=0,
    )


def test_combinations_against_their_definitions(task):
    grid = task.texts.encode_grid(task.class_names, SET)
    unit = grid / grid.norm(dim=-1, keepdim=True)
    each = 20 * torch.einsum("nd,ctd->tnc", task.features, unit)
    close = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(
        combine_templates(task.features, grid, 20, "logits"), each.mean(dim=0), **close
    )
    mean_probability = each.softmax(dim=2).mean(dim=0)
    torch.testing.assert_close(
        combine_templates(task.features, grid, 20, "probabilities").exp(), mean_probability, **close
    )
    w = unit.mean(dim=1)
    expected = 20 * task.features @ (w / w.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(combine_templates(task.features, grid, 20, "embeddings"), expected, **close)
    raw = grid.mean(dim=1)
    expected = 20 * task.features @ (raw / raw.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(
        combine_templates(task.features, grid, 20, "raw-embeddings"), expected, **close
    )
    # where the classes' means differ in length, normalising again is another classifier
    assert w.norm(dim=1).std() > 1e-3
    a, b = (combine_templates(task.features, grid, 20, how) for how in ("embeddings", "logits"))
    assert (a - b).abs().max() > 1e-3


def test_weights_of_the_classifier_have_unit_length_and_agree_with_the_core(task, model):
    core = text_classifier(model, task.class_names, SET)
    torch.testing.assert_close(core.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(
        logits(task, ZeroShotEnsemble(SET)), 20 * task.features @ core.T, atol=1e-4, rtol=0
    )


def test_classes_one_by_one_give_the_same_classifier(task):
    together = logits(task, ZeroShotEnsemble(SET))
    alone = torch.cat([logits(task, ZeroShotEnsemble(SET), [n]) for n in task.class_names], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_weights_select_templates(task):
    one = PromptClassifier(task.texts, SET, 20, weights=torch.tensor([0.0, 1.0, 0.0, 0.0]))
    for how in ("embeddings", "probabilities"):
        one.how = how
        torch.testing.assert_close(
            one.logits(task.features, task.class_names).log_softmax(dim=1),
            logits(task, ZeroShotTemplate(SET[1])).log_softmax(dim=1),
            atol=1e-4,
            rtol=0,
        )


def test_shared_prompts_are_encoded_once(task):
    before = task.texts.encoded
    logits(task, ZeroShotEnsemble(SET))
    logits(task, ZeroShotEnsemble(SET[:2]))
    logits(task, ZeroShotTemplate(SET[3]))
    assert task.texts.encoded - before == len(SET) * 4


def test_selection_finds_the_best_template_of_the_shots(task):
    method = TemplateSelection([*SET, "a picture of {}"], count=1)  # what the shots were made from
    chosen = method.fit(task)
    assert chosen.templates == ["a picture of {}"]
    assert task.notes["selected_on"] == "training shots"
    best = task.notes["template_scores"][0]
    right = (logits(task, ZeroShotTemplate("a picture of {}")).argmax(dim=1) == task.labels).float().mean()
    assert best["accuracy"] == pytest.approx(float(right))
    weighted = TemplateSelection([*SET, "a picture of {}"], keep="weight", temperature=1e-3).fit(task)
    assert float(weighted.weights[4]) > 0.99
    assert float(weighted.weights.sum()) == pytest.approx(1)


def test_imagenet_sets_are_the_published_ones():
    import open_clip

    eighty, seven = templates.find_templates("imagenet-80"), templates.find_templates("imagenet-7")
    assert len(eighty) == 80
    assert set(seven) <= set(eighty)
    assert seven[0] == "itap of a {}."
    digest = hashlib.sha256("\n".join(eighty).encode()).hexdigest()
    assert digest.startswith("4f976686fb651bb5")
    digest = hashlib.sha256("\n".join(open_clip.IMAGENET_CLASSNAMES).encode()).hexdigest()
    assert digest.startswith("571ae1c583b4be7d")


def test_openais_templates_are_the_published_ones():
    counts = {n: len(templates.find_templates(f"openai:{n}")) for n in prompt_class_names.DATASETS}
    assert counts == {
        "imagenet": 80, "caltech101": 34, "oxford_pets": 1, "stanford_cars": 8, "oxford_flowers": 1, "food101": 1,
        "fgvc_aircraft": 2, "sun397": 2, "dtd": 8, "eurosat": 3, "ucf101": 48,
    }  # fmt: skip
    for name in prompt_class_names.DATASETS:
        found = check_templates(templates.find_templates(f"openai:{name}"))
        assert len(set(found)) == len(found)
        if name not in ("caltech101", "dtd", "ucf101"):  # CoOp takes its own words for these
            assert {t.removesuffix(".") for t in templates.find_templates(f"coop:{name}")} <= {
                t.removesuffix(".") for t in (*found, "a photo of a {}.")
            }
    assert templates.find_templates("openai:imagenet") == templates.find_templates("imagenet-80")
    with pytest.raises(OptionError, match="did you mean 'food101'"):
        templates.find_templates("openai:food-101")
    if find_spec("clip_benchmark") is not None:
        for ours, theirs in (("stanford_cars", "cars"), ("caltech101", "caltech101"), ("dtd", "dtd")):
            assert templates.find_templates(f"openai:{ours}") == templates.find_templates(
                f"clip_benchmark:{theirs}"
            )


def test_sets_by_name_and_file(tmp_path):
    assert templates.find_templates("coop:dtd") == ["{} texture."]
    assert templates.find_templates("coop", ["a {}"], "fgvc-aircraft") == [
        "a photo of a {}, a type of aircraft."
    ]
    assert templates.find_templates("coop", ["a {}"], "imagenet-1k") == ["a photo of a {}."]
    assert templates.find_templates("coop", None, "eurosat") == ["a centered satellite photo of {}."]
    with pytest.raises(OptionError, match="space 'digits'"):
        templates.find_templates("coop", ["a {}"], "digits")
    assert templates.find_templates("data", ["a {c}"]) == ["a {}"]
    file = tmp_path / "mine.txt"
    file.write_text("one {}\n\ntwo {c}\n")
    assert templates.find_templates(str(file)) == ["one {}", "two {}"]
    with pytest.raises(OptionError, match="did you mean 'imagenet-80'"):
        templates.find_templates("imagenet80")
    with pytest.raises(OptionError, match="did you mean 'eurosat'"):
        templates.find_templates("coop:eurosatt")
    with pytest.raises(OptionError, match=r"has no place \{\}"):
        ZeroShotTemplate("a photo")
    with pytest.raises(DataError, match="no templates of its own"):
        templates.find_templates("data", None)


def test_a_method_is_another_one_when_the_file_of_its_templates_changes(tmp_path):
    """Otherwise a store would take the old file's results for the new one's."""
    from harness_prompts.methods import (
        clip_adapter,
        coop,
        deep_prompts,
        template_selection,
        tip_adapter,
    )

    methods = (
        ZeroShotEnsemble, tip_adapter.TipAdapter, tip_adapter.TipAdapterF, clip_adapter.ClipAdapter,
        coop.KgCoOp, coop.ProGrad, deep_prompts.PromptSRC, template_selection.TemplateSelection,
    )  # fmt: skip
    file = tmp_path / "own.txt"
    for method in methods:
        file.write_text("a photo of {}\n")
        before = method(templates=str(file)).fingerprint()
        file.write_text("a sketch of {}\n")
        assert before != method(templates=str(file)).fingerprint() != "", method
        assert method(templates="imagenet-7").fingerprint() == (
            "" if method is ZeroShotEnsemble else "learning-1"
        )
        with pytest.raises(OptionError, match="no such file"):
            method(templates=str(tmp_path / "none.txt")).fingerprint()


def test_every_one_of_coops_data_sets_is_known_by_its_label_space():
    """As the data sets of `prompts-coop11` say theirs."""
    from harness_data.coop_split import PLACES, CoOpSplit
    from harness_data.imagenet import ImageNet
    from harness_torchvision.catalogue import CATALOGUE

    spaces = [CoOpSplit(name).label_space for name in PLACES]
    spaces += [CATALOGUE["FGVCAircraft"].label_space, ImageNet.label_space]
    found = {templates.COOP_NAMES.get(space, space) for space in spaces}
    assert found == set(templates.COOP_TEMPLATES)
    assert all(
        s in {e.label_space for e in CATALOGUE.values()} | {"imagenet-1k"} for s in templates.COOP_NAMES
    )


def test_class_names_from_files(tmp_path):
    own = ["AnnualCrop", "Sea Lake", "Something"]
    assert prompt_class_names.choose_class_names(own, "data") == own
    file = tmp_path / "names.json"
    file.write_text(json.dumps({"Something": "else"}))
    assert prompt_class_names.choose_class_names(own, str(file)) == ["AnnualCrop", "Sea Lake", "else"]
    before = prompt_class_names.digest_class_names(str(file))
    file.write_text(json.dumps({"Somethin": "else"}))
    assert prompt_class_names.digest_class_names(str(file)) != before
    with pytest.raises(DataError, match="did you mean 'Something'"):
        prompt_class_names.choose_class_names(own, str(file))
    with pytest.raises(OptionError, match="no such file"):
        FewShot(class_names=str(tmp_path / "none.json"))
    with pytest.raises(OptionError, match="did you mean 'coop-eurosat'"):
        FewShot(class_names="coop-eurosatt")


# CoCoOp, section 4.1 and its code: base and new classes of each data set
HALVES = {
    "caltech101": (50, 50), "oxford_pets": (19, 18), "stanford_cars": (98, 98), "oxford_flowers": (51, 51),
    "food101": (51, 50), "fgvc_aircraft": (50, 50), "sun397": (199, 198), "dtd": (24, 23), "eurosat": (5, 5),
    "ucf101": (51, 50),
}  # fmt: skip


@pytest.mark.parametrize("dataset", prompt_class_names.DATASETS[1:])
def test_name_sets_have_the_published_number_of_classes_and_tell_them_apart(dataset):
    rows = prompt_class_names.read_class_table(dataset)
    coop = [row["coop"] for row in rows if "coop" in row]
    base, new = split_base_and_new(len(coop))
    assert (len(base), len(new)) == HALVES[dataset]
    openai = [row["openai"] for row in rows]
    for listed in (coop, openai):
        assert len({n.lower() for n in listed}) == len(listed)
        assert all(n == n.strip() and "_" not in n for n in listed)
    # whichever spelling a data set has, the names are found, and the data set is recognised
    own = [row["own"] for row in rows if "coop" in row]
    spelt = [n.replace(" ", "_") for n in own]
    assert prompt_class_names.choose_class_names(own, "openai") == prompt_class_names.choose_class_names(
        coop, f"openai-{dataset}"
    )
    assert (
        prompt_class_names.choose_class_names(spelt, "coop")
        == coop
        == prompt_class_names.choose_class_names(coop, "coop")
    )
    assert prompt_class_names.choose_class_names([row["own"] for row in rows], "openai") == openai
    with pytest.raises(OptionError, match=rf"coop-{dataset}: no class 'nothing'"):
        prompt_class_names.choose_class_names(["nothing"], f"coop-{dataset}")


def test_names_that_the_sets_are_known_to_change():
    def one(dataset: str, own: str) -> tuple[str, str]:
        return tuple(
            prompt_class_names.choose_class_names([own], f"{whose}-{dataset}")[0]
            for whose in ("openai", "coop")
        )

    assert one("stanford_cars", "Acura RL Sedan 2012") == ("Acura RL Sedan 2012", "2012 Acura RL Sedan")
    assert one("sun397", "apartment_building/outdoor") == (
        "apartment building outdoor",
        "outdoor apartment building",
    )
    assert one("sun397", "theater/indoor_procenium") == (
        "theater indoor procenium",
        "indoor procenium theater",
    )
    assert one("ucf101", "HandstandPushups") == ("Hand Stand Pushups", "Handstand Pushups")
    assert one("ucf101", "YoYo") == ("Yo Yo", "Yo Yo")
    assert one("eurosat", "SeaLake") == ("lake or sea", "Sea or Lake")
    assert one("caltech101", "Leopards") == ("leopard", "leopard")
    assert one("caltech101", "car_side") == ("side of a car", "car side")
    assert one("oxford_pets", "american_bulldog") == ("american bulldog", "american bulldog")
    assert one("oxford_flowers", "ball moss") == ("air plant", "ball moss")
    with pytest.raises(OptionError, match="no class 'Faces_easy'"):  # CoOp leaves it out
        prompt_class_names.choose_class_names(["Faces_easy"], "coop-caltech101")


def test_names_agree_with_torchvisions_and_clip_benchmarks():
    from torchvision.datasets import Flowers102

    if hasattr(Flowers102, "classes"):
        found = prompt_class_names.choose_class_names(Flowers102.classes, "openai")
        changed = {a: b for a, b in zip(Flowers102.classes, found, strict=True) if a != b}
        assert changed == {
            "globe-flower": "globe flower", "pink-yellow dahlia?": "pink and yellow dahlia", "ball moss": "air plant",
        }  # fmt: skip
    spec = find_spec("clip_benchmark")
    if spec is not None and spec.submodule_search_locations:
        file = Path(spec.submodule_search_locations[0]) / "datasets" / "en_classnames.json"
        theirs = json.loads(file.read_text(encoding="utf-8"))
        for dataset, called in (
            ("caltech101", "caltech101"),
            ("oxford_flowers", "flowers"),
            ("eurosat", "eurosat"),
        ):
            assert [row["openai"] for row in prompt_class_names.read_class_table(dataset)] == theirs[called]


def test_names_of_imagenet_and_of_unknown_data_sets():
    assert len(prompt_class_names.choose_class_names([""] * 1000, "openai-imagenet")) == 1000
    assert prompt_class_names.choose_class_names([str(i) for i in range(1000)], "openai")[0] == "tench"
    with pytest.raises(OptionError, match="1000"):
        prompt_class_names.choose_class_names(["a"], "openai-imagenet")
    with pytest.raises(OptionError, match="not built in"):
        prompt_class_names.choose_class_names([""] * 1000, "coop")
    with pytest.raises(OptionError, match="no data set with known names"):
        prompt_class_names.choose_class_names(["circle", "square"], "openai")
    with pytest.raises(OptionError, match=r"fit .* and .*: name the set"):  # a flower and Caltech's
        prompt_class_names.choose_class_names(["sunflower", "lotus"], "openai")


def test_descriptions(task, tmp_path):
    file = tmp_path / "d.json"
    file.write_text(json.dumps({n: [f"a photo of a {n}.", "a {} here"] for n in task.class_names}))
    found = logits(task, ZeroShotDescriptions(file))
    expected = logits(task, ZeroShotEnsemble(["a photo of a {}.", "a {} here"]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    with pytest.raises(DataError, match="no description of 'dog'"):
        logits(task, ZeroShotDescriptions(file), ["dog"])
    file.write_text(json.dumps({"cat": []}))
    with pytest.raises(DataError, match="'cat' needs a text"):
        logits(task, ZeroShotDescriptions(file))
    assert "no such file" in ZeroShotDescriptions(tmp_path / "none.json").unavailable()


def test_clip_benchmark_sets_say_what_is_missing(monkeypatch):
    monkeypatch.setattr(templates, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="install clip_benchmark"):
        templates.find_templates("clip_benchmark:cars")


def test_normalised_features_are_what_the_scale_multiplies(task):
    assert torch.allclose(F.normalize(task.features, dim=1), task.features)
    assert logits(task, ZeroShotTemplate()).abs().max() <= 20 + 1e-4


def test_templates_without_a_place_are_refused_before_anything_is_loaded(tmp_path):
    file = tmp_path / "own.txt"
    file.write_text("a {}\na thing\n")
    for wrong, said in (
        (["{}", "a %s"], r"'%s' is written \{\}"),
        ([], "at least one template"),
        ("a photo of a {}", r"write a list of them, \["),
        ("imagenet81", "no set"),
    ):
        for method in (ZeroShotEnsemble, TemplateSelection):
            with pytest.raises(OptionError, match=said):
                method(templates=wrong)
    with pytest.raises(DataError, match=r"own\.txt: 'a thing' has no place"):
        ZeroShotEnsemble(str(file)).fingerprint()
