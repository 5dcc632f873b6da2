"""What models of transformers that speak say of templates, texts, files and options that can't be right."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness import DataError, EncodedImage, OptionError, Unavailable, capabilities
from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference
from harness_language.conversations import ImagePart, Question, Turn
from harness_transformers.chat_model import HfChat
from harness_transformers.image_text_model import HfImageText

CPU = torch.device("cpu")


def ask(*parts: Any, name: str = "q") -> Question:
    return Question(name, (Turn("user", parts),))


def picture(seed: int = 0) -> ImagePart:
    return ImagePart(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def test_a_question_whose_images_do_not_fit_its_prompt_is_named(speaker, tmp_path):
    template = (speaker("llava") / "chat_template.jinja").read_text()
    (tmp_path / "odd.jinja").write_text(
        "{% if 'twice' in messages[0].content[-1].text %}<image>{% endif %}" + template
    )
    model = HfImageText(str(speaker("llava")), chat_template=tmp_path / "odd.jinja")
    model.load(CPU)
    questions = [ask(picture(n), text, name=text) for n, text in enumerate(("once", "and twice", "again"))]
    for call in (model.generate, lambda asked: model.loglikelihood(asked, [["A"]] * len(asked))):
        with pytest.raises(DataError, match=r"question 'and twice': .*image"):
            call(questions)


def test_control_tokens_in_a_text_are_refused(speaker):
    model = HfImageText(str(speaker("llava")))
    model.load(CPU)
    for text in ("<image>\nWhat is this?", "Done.<end>"):
        with pytest.raises(DataError, match=r"question 'q': a text holds '<.*control token"):
            model.generate([ask(text)])


def test_templates_that_lose_or_reorder_parts_are_told(speaker, tmp_path):
    own = (speaker("llava") / "chat_template.jinja").read_text()
    first = (
        "{% for m in messages %}<|{{ m.role }}|>{% for p in m.content if p.type == 'image' %}<image>{% endfor %}"
        "{% for p in m.content if p.type == 'text' %}{{ p.text }}{% endfor %}{% endfor %}"
    )
    broken = {
        "first": first,
        "blind": own.replace("<image>", ""),
        "mute": own.replace("{{ p['text'] }}", ""),
        "no system": own.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"),
        "strict": "{{ raise_exception('only one turn') if messages | length > 1 }}" + own,
    }
    models = {}
    for name, text in broken.items():
        (tmp_path / name).write_text(text)
        models[name] = HfImageText(str(speaker("llava")), chat_template=tmp_path / name)
    for name, why in (("blind", "leaves out images"), ("mute", "leaves out the user's text")):
        with pytest.raises(OptionError, match=why):
            models[name].load(CPU)
    for name in ("first", "no system", "strict"):
        models[name].load(CPU)
    assert any("all images of a turn at one place" in remark for remark in models["first"].remarks)
    assert models["no system"].remarks == []
    system = Question("sys", (Turn("system", ("Be brief.",)), Turn("user", ("A or B?",))))
    with pytest.raises(DataError, match="'sys': the chat template leaves out or reorders 'Be brief"):
        models["no system"].generate([system])
    with pytest.raises(DataError, match="'sys': the chat template refuses it: only one turn"):
        models["strict"].generate([system])


def test_a_system_prompt_is_for_questions_without_one(speaker):
    model = HfImageText(str(speaker("llava")), system_prompt="Be brief.")
    model.load(CPU)
    bare = ask(picture(), "A or B?")
    said = replace(bare, turns=(Turn("system", ("Be brief.",)), *bare.turns))
    other = replace(bare, turns=(Turn("system", ("Be wordy.",)), *bare.turns))
    plain = HfImageText(str(speaker("llava")))
    plain.load(CPU)
    assert model.generate([bare, said, other]) == plain.generate([said, said, other])
    assert model.identity != plain.identity


def test_without_a_chat_template_nothing_can_be_asked(speaker, tmp_path):
    folder = shutil.copytree(speaker("llava"), tmp_path / "bare")
    template = folder / "chat_template.jinja"
    template.rename(tmp_path / "kept.jinja")
    bare = HfImageText(str(folder))
    assert set(bare.lacks) == {"answers conversations", "scores continuations"}
    assert "answers conversations" not in capabilities(bare)
    with pytest.raises(OptionError, match="no chat template"):
        bare.load(CPU)
    given_one = HfImageText(str(folder), chat_template=tmp_path / "kept.jinja")
    assert "answers conversations" in capabilities(given_one)
    given_one.load(CPU)
    with pytest.raises(OptionError, match="can't be read"):
        HfImageText(str(folder), chat_template=tmp_path / "none").load(CPU)


def test_a_continuation_that_merges_with_the_prompt_is_refused(speaker, tmp_path):
    own = (speaker("llava") / "chat_template.jinja").read_text()
    for name, end in (("blank", "answer: "), ("none", "answer:")):
        (tmp_path / name).write_text(
            own.replace("<|assistant|>{% endif %}", f"<|assistant|>{end}{{% endif %}}")
        )
    blank, plain = (
        HfImageText(str(speaker("llava")), chat_template=tmp_path / name) for name in ("blank", "none")
    )
    blank.load(CPU)
    plain.load(CPU)
    with pytest.raises(DataError, match=r"'q': the continuation 'red' merges with .*'nt\|>answer: '"):
        blank.loglikelihood([ask("?")], [["red"]])
    assert plain.loglikelihood([ask("?")], [[" red"]])[0][0].tokens == len(
        plain._tokenizer(" red")["input_ids"]
    )
    with pytest.raises(DataError, match="'q': the continuation '' has no tokens"):
        plain.loglikelihood([ask("?")], [[""]])
    with pytest.raises(DataError, match="1 questions have 2 sequences"):
        plain.loglikelihood([ask("?")], [["A"], ["B"]])


def test_the_identity_follows_all_that_decides_and_no_path(speaker, tmp_path):
    folder = shutil.copytree(speaker("llava"), tmp_path / "moved")

    def identify(**options: Any) -> tuple[str, dict[str, Any]]:
        model = HfImageText(str(folder), **options)
        model.load(CPU)
        assert str(tmp_path) not in json.dumps(model.identity)
        return model.fingerprint(), model.identity

    here = identify()
    model = HfImageText(str(speaker("llava")))
    model.load(CPU)
    assert (model.fingerprint(), model.identity) == here
    assert identify(batch_size=2) == here
    (tmp_path / "t.jinja").write_text((folder / "chat_template.jinja").read_text() + " ")
    others = [
        {"max_pixels": 99}, {"min_pixels": 99}, {"temperature": 1.0}, {"dtype": "bfloat16"}, {"system_prompt": "Hm."},
        {"chat_template": tmp_path / "t.jinja"},
    ]  # fmt: skip
    found = [json.dumps(identify(**options)[1], sort_keys=True) for options in others]
    assert len({json.dumps(here[1], sort_keys=True), *found}) == len(others) + 1
    weights = load_file(folder / "model.safetensors")
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1}, folder / "model.safetensors", {"format": "pt"})
    fingerprint, identity = identify()
    assert fingerprint != here[0]
    assert identity["weights"] != here[1]["weights"]


def test_a_cell_of_a_folder_is_known_by_its_files_wherever_they_lie(speaker, tmp_path):
    folder = shutil.copytree(speaker("llava"), tmp_path / "moved")

    def identify(plugin: str, **options: Any) -> str:
        return Resolver().resolve("models", Reference(plugin, options), "here").identity

    here = identify("hf-image-text", model=str(speaker("llava")))
    assert identify("hf-image-text", model=str(folder), batch_size=2) == here
    assert identify("hf-image-text", model=str(folder), max_pixels=99) != here
    (folder / "generation_config.json").write_text("{}")
    assert identify("hf-image-text", model=str(folder)) != here
    assert identify("hf-chat", model="one/name") != identify("hf-chat", model="another/name")


def test_an_image_that_can_not_be_read_names_its_question(speaker):
    model = HfImageText(str(speaker("llava")))
    model.load(CPU)
    broken = ImagePart(EncodedImage(b"no image", "cat.jpg"))
    with pytest.raises(DataError, match=r"question 'bad': cat\.jpg"):
        model.generate([ask(picture(), "?"), ask(broken, "?", name="bad")])


def test_options_that_make_no_sense_are_refused():
    for options, why in (
        ({"max_pixels": 1, "min_pixels": 2}, "min_pixels <= max_pixels"), ({"min_pixels": 0}, "min_pixels"),
        ({"max_images": -1}, "max_images"), ({"temperature": -1.0}, "temperature"), ({"batch_size": 0}, "batch_size"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=f"hf-image-text:m: .*{why}"):
            HfImageText("m", **options)


def test_what_is_missing_is_said_in_one_line(speaker, tmp_path, monkeypatch):
    assert "no folder with config.json" in HfImageText(str(tmp_path)).unavailable()
    assert "no folder with config.json" in HfImageText("./no/such/folder").unavailable()
    folder = shutil.copytree(speaker("llava"), tmp_path / "weightless")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Unavailable, match="no weights as safetensors"):
        HfImageText(str(folder)).load(CPU)
    save_file(dict(list(weights.items())[1:]), folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(OptionError, match=r"1 weights are missing .*would be random"):
        HfImageText(str(folder)).load(CPU)
    with pytest.raises(OptionError, match=r"takes no images|can't load it"):
        HfImageText(str(speaker("text"))).load(CPU)

    def absent(_: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr("harness_transformers.pretrained.version", absent)
    assert "transformers is not installed; pip install" in HfChat("some/name").unavailable()
    monkeypatch.setattr("harness_transformers.pretrained.version", lambda _: "4.40.1")
    assert "transformers is 4.40.1, expected at least 4.56" in HfChat("some/name").unavailable()


def test_a_hub_that_can_not_be_reached_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("harness.inference.weights._resolves", lambda _: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for make in (HfImageText, HfChat):
        model = make("nobody/no-such-model-here")
        assert model.unavailable() is None
        assert any("`revision` is not set" in remark for remark in model.remarks)
        with pytest.raises(Unavailable, match="not on this machine and can't be downloaded") as error:
            model.load(CPU)
        assert "\n" not in str(error.value)


def test_code_in_a_repository_is_never_run(speaker, tmp_path):
    folder: Path = shutil.copytree(speaker("llava"), tmp_path / "code")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own-kind",
        "auto_map": {"AutoConfig": "own.Config", "AutoModelForImageTextToText": "own.Net"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(OptionError, match="can't load it"):
        HfImageText(str(folder)).load(CPU)
    assert not (tmp_path / "ran").exists()
