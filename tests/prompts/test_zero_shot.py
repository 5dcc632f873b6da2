"""Hand-written prompts: ensembles, their combinations, names and template sets."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
import torch.nn.functional as F

from harness.errors import DataError, OptionError, Unavailable
from harness.zeroshot import text_classifier
from harness_prompts import names, templates
from harness_prompts.methods.selection import TemplateSelection
from harness_prompts.methods.zero_shot import Descriptions, Ensemble, PromptClassifier, Template, combined

SET = ["a photo of a {}.", "a sketch of a {}.", "{}", "the {} in the snow"]


def logits(task, method, class_names=None):
    return method.fit(task).logits(task.features, class_names or task.class_names)


def test_an_ensemble_of_one_is_the_single_template_and_so_is_a_repeated_one(task):
    single = logits(task, Template("a photo of a {}."))
    for how in ("embeddings", "logits", "probabilities", "raw-embeddings"):
        for given in (["a photo of a {}."], ["a photo of a {}."] * 5):
            found = logits(task, Ensemble(given, how))
            expected = single if how != "probabilities" else single.log_softmax(dim=1)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("how", ["embeddings", "logits", "probabilities", "raw-embeddings"])
def test_the_order_of_templates_does_not_matter(task, how):
    torch.testing.assert_close(
        logits(task, Ensemble(SET, how)), logits(task, Ensemble(SET[::-1], how)), atol=1e-4, rtol=0
    )


def test_combinations_against_their_definitions(task):
    grid = task.texts.grid(task.class_names, SET)
    unit = grid / grid.norm(dim=-1, keepdim=True)
    each = 20 * torch.einsum("nd,ctd->tnc", task.features, unit)
    close = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(combined(task.features, grid, 20, "logits"), each.mean(dim=0), **close)
    mean_probability = each.softmax(dim=2).mean(dim=0)
    torch.testing.assert_close(
        combined(task.features, grid, 20, "probabilities").exp(), mean_probability, **close
    )
    w = unit.mean(dim=1)
    expected = 20 * task.features @ (w / w.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(combined(task.features, grid, 20, "embeddings"), expected, **close)
    raw = grid.mean(dim=1)
    expected = 20 * task.features @ (raw / raw.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(combined(task.features, grid, 20, "raw-embeddings"), expected, **close)
    # where the classes' means differ in length, normalising again is another classifier
    assert w.norm(dim=1).std() > 1e-3
    a, b = (combined(task.features, grid, 20, how) for how in ("embeddings", "logits"))
    assert (a - b).abs().max() > 1e-3


def test_weights_of_the_classifier_have_unit_length_and_agree_with_the_core(task, model):
    core = text_classifier(model, task.class_names, SET)
    torch.testing.assert_close(core.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(logits(task, Ensemble(SET)), 20 * task.features @ core.T, atol=1e-4, rtol=0)


def test_classes_one_by_one_give_the_same_classifier(task):
    together = logits(task, Ensemble(SET))
    alone = torch.cat([logits(task, Ensemble(SET), [n]) for n in task.class_names], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_weights_select_templates(task):
    one = PromptClassifier(task.texts, SET, 20, weights=torch.tensor([0.0, 1.0, 0.0, 0.0]))
    for how in ("embeddings", "probabilities"):
        one.how = how
        torch.testing.assert_close(
            one.logits(task.features, task.class_names).log_softmax(dim=1),
            logits(task, Template(SET[1])).log_softmax(dim=1),
            atol=1e-4,
            rtol=0,
        )


def test_shared_prompts_are_encoded_once(task):
    before = task.texts.encoded
    logits(task, Ensemble(SET))
    logits(task, Ensemble(SET[:2]))
    logits(task, Template(SET[3]))
    assert task.texts.encoded - before == len(SET) * 4


def test_selection_finds_the_best_template_of_the_shots(task):
    method = TemplateSelection([*SET, "a picture of {}"], count=1)  # what the shots were made from
    chosen = method.fit(task)
    assert chosen.templates == ["a picture of {}"]
    assert task.notes["selected_on"] == "training shots"
    best = task.notes["template_scores"][0]
    right = (logits(task, Template("a picture of {}")).argmax(dim=1) == task.labels).float().mean()
    assert best["accuracy"] == pytest.approx(float(right))
    weighted = TemplateSelection([*SET, "a picture of {}"], keep="weight", temperature=1e-3).fit(task)
    assert float(weighted.weights[4]) > 0.99
    assert float(weighted.weights.sum()) == pytest.approx(1)


def test_imagenet_sets_are_the_published_ones():
    import open_clip

    eighty, seven = templates.named_set("imagenet-80"), templates.named_set("imagenet-7")
    assert len(eighty) == 80
    assert set(seven) <= set(eighty)
    assert seven[0] == "itap of a {}."
    digest = hashlib.sha256("\n".join(eighty).encode()).hexdigest()
    assert digest.startswith("4f976686fb651bb5")
    digest = hashlib.sha256("\n".join(open_clip.IMAGENET_CLASSNAMES).encode()).hexdigest()
    assert digest.startswith("571ae1c583b4be7d")


def test_sets_by_name_and_file(tmp_path):
    assert templates.named_set("coop:dtd") == ["{} texture."]
    assert templates.named_set("data", ["a {c}"]) == ["a {}"]
    file = tmp_path / "mine.txt"
    file.write_text("one {}\n\ntwo {c}\n")
    assert templates.named_set(str(file)) == ["one {}", "two {}"]
    with pytest.raises(OptionError, match="did you mean 'imagenet-80'"):
        templates.named_set("imagenet80")
    with pytest.raises(OptionError, match="did you mean 'eurosat'"):
        templates.named_set("coop:eurosatt")
    with pytest.raises(OptionError, match=r"has no \{\}"):
        Template("a photo")
    with pytest.raises(DataError, match="no templates of its own"):
        templates.named_set("data", None)


def test_class_name_sets(tmp_path):
    own = ["AnnualCrop", "Sea Lake", "Something"]
    assert names.class_names(own, "data") == own
    assert names.class_names(own, "coop-eurosat") == ["Annual Crop Land", "Sea or Lake", "Something"]
    assert names.class_names(own, "openai-eurosat")[1] == "lake or sea"
    file = tmp_path / "names.json"
    file.write_text(json.dumps({"Something": "else"}))
    assert names.class_names(own, str(file)) == ["AnnualCrop", "Sea Lake", "else"]
    file.write_text(json.dumps({"Somethin": "else"}))
    with pytest.raises(DataError, match="did you mean 'Something'"):
        names.class_names(own, str(file))
    with pytest.raises(OptionError, match="1000"):
        names.class_names(own, "openai-imagenet")
    assert len(names.class_names([""] * 1000, "openai-imagenet")) == 1000


def test_descriptions(task, tmp_path):
    file = tmp_path / "d.json"
    file.write_text(json.dumps({n: [f"a photo of a {n}.", "a {} here"] for n in task.class_names}))
    found = logits(task, Descriptions(file))
    expected = logits(task, Ensemble(["a photo of a {}.", "a {} here"]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    with pytest.raises(DataError, match="no description of 'dog'"):
        logits(task, Descriptions(file), ["dog"])
    file.write_text(json.dumps({"cat": []}))
    with pytest.raises(DataError, match="'cat' needs a text"):
        logits(task, Descriptions(file))
    assert "no such file" in Descriptions(tmp_path / "none.json").unavailable()


def test_clip_benchmark_sets_say_what_is_missing(monkeypatch):
    monkeypatch.setattr(templates, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="install clip_benchmark"):
        templates.named_set("clip_benchmark:cars")


def test_normalised_features_are_what_the_scale_multiplies(task):
    assert torch.allclose(F.normalize(task.features, dim=1), task.features)
    assert logits(task, Template()).abs().max() <= 20 + 1e-4
