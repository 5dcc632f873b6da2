"""The `model-index` of model cards: results of models, read without evaluating anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DataError
from harness_importers.model_index import ModelIndex

# As huggingface_hub's ModelCard writes the results of several tasks
CARD = """---
language: en
tags:
- vision
model-index:
- name: my-net
  results:
  - task:
      type: image-classification
      name: Image Classification
    dataset:
      name: CIFAR-10
      type: cifar10
      config: plain
      split: test
      revision: abc123
    metrics:
    - type: accuracy
      value: 0.9310
      verified: true
    - type: loss
      value: 0.21
    source:
      name: Leaderboard
      url: https://example.org/board
  - task: {type: automatic-speech-recognition}
    dataset: {name: Speech, type: speech}
    metrics:
    - {type: wer, value: 12.30 ± 1.2}
    - {type: zorp, value: 3}
    - {type: accuracy, value: high}
  - task: {type: text-classification}
    dataset: {name: Text, type: text}
    metrics: [{type: accuracy, value: 81.25}, {type: f1, value: "79.5%"}, {type: f1, value: 70, name: F1 macro}]
---
# my-net
"""


def write(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    return path


def test_a_card(run_import, tmp_path, store):
    path = write(tmp_path, CARD)
    status, _, errors = run_import(path)
    assert status == 1
    assert errors.splitlines() == [
        f"left out: {path}: line 30: my-net: Speech: zorp: unknown whether a larger value is better",
        f"left out: {path}: line 31: my-net: Speech: accuracy: expected a number, found 'high'",
    ]
    found = {r.coordinates["dataset"]: r for r in store.records()}
    cifar = found["CIFAR-10"]
    assert cifar.metrics == {"accuracy": 0.931, "loss": 0.21}
    assert cifar.directions == {"accuracy": True, "loss": False}
    assert cifar.units == {"accuracy": "fraction"}
    assert (cifar.coordinates["protocol"], cifar.coordinates["split"]) == ("image-classification", "test")
    assert cifar.notes["as written"] == {"accuracy": "0.9310", "loss": "0.21"}
    assert cifar.notes["verified by the Hub"] == ["accuracy"]
    assert cifar.provenance["imported"]["source"] == "https://example.org/board"
    assert found["Speech"].metrics == {"wer": 12.3}
    assert found["Speech"].notes == {"wer: deviation": "1.2", "as written": {"wer": "12.30"}}
    assert found["Text"].metrics == {"accuracy": 0.8125, "f1": 0.795, "F1 macro": 0.7}
    assert "accuracy: 81.25 was read as a percentage" in found["Text"].remarks


def test_a_second_value_is_named(run_import, tmp_path):
    card = CARD.replace(
        "{type: wer, value: 12.30 ± 1.2}", "{type: wer, value: 12.3}\n    - {type: wer, value: 13}"
    )
    assert (
        "line 30: my-net: Speech: wer: a second value, 13, beside 12.3"
        in run_import(write(tmp_path, card))[2]
    )


# https://huggingface.co/BEE-spoke-data/smol_llama-220M-GQA, some of its results
LEADERBOARD = (
    """---
model-index:
- name: smol_llama-220M-GQA
  results:
"""
    + "".join(
        f"""  - task:
      type: text-generation
    dataset:
      name: {name}
      type: {kind}
    metrics:
    - type: {metric}
      value: {value}
    source:
      url: https://huggingface.co/spaces/{board}?query=BEE-spoke-data/smol_llama-220M-GQA
"""
        for name, kind, metric, value, board in (
            ("Winogrande (5-shot)", "winogrande", "acc", "50.99", "HuggingFaceH4/open_llm_leaderboard"),
            ("GSM8k (5-shot)", "gsm8k", "acc", "0.68", "HuggingFaceH4/open_llm_leaderboard"),
            ("BBH (3-Shot)", "BBH", "acc_norm", "3.04", "open-llm-leaderboard/open_llm_leaderboard"),
            (
                "GPQA (0-shot)",
                "Idavidrein/gpqa",
                "acc_norm",
                "0.78",
                "open-llm-leaderboard/open_llm_leaderboard",
            ),
        )
    )
    + "---\n"
)


def test_small_numbers_of_a_leaderboard_in_percent_are_in_percent(run_import, tmp_path, store):
    assert run_import(write(tmp_path, LEADERBOARD))[0] == 0
    found = {r.coordinates["dataset"]: r for r in store.records()}
    assert found["GSM8k (5-shot)"].metrics == {"acc": 0.0068}
    assert found["GPQA (0-shot)"].metrics == {"acc_norm": 0.0078}
    assert found["GSM8k (5-shot)"].remarks == ["acc: 0.68 was read as a percentage"]


def test_fractions_of_one_source_stay_fractions_beside_percentages_of_another(run_import, tmp_path, store):
    card = LEADERBOARD.replace("3.04", "0.0304")
    assert run_import(write(tmp_path, card))[0] == 0
    found = {r.coordinates["dataset"]: r.metrics for r in store.records()}
    assert found["GPQA (0-shot)"] == {"acc_norm": 0.78}
    assert found["GSM8k (5-shot)"] == {"acc": 0.0068}


def test_a_small_number_beside_percentages_of_no_source_is_asked_about(run_import, tmp_path, store):
    card = "".join(
        line for line in LEADERBOARD.splitlines(True) if "source:" not in line and "url:" not in line
    )
    status, _, errors = run_import(write(tmp_path, card))
    assert status == 1
    assert "GSM8k (5-shot): acc: 0.68, a fraction or a percentage? others of the card are above 1" in errors
    assert {r.coordinates["dataset"] for r in store.records()} == {"Winogrande (5-shot)", "BBH (3-Shot)"}


def test_a_top_5_accuracy_is_not_called_accuracy(run_import, tmp_path, store):
    metrics = "[{type: accuracy, name: Top-5 accuracy, value: 0.93}, {type: accuracy, name: Top-1 accuracy, value: 0.76}]"
    card = "---\nmodel-index:\n- name: m\n  results:\n  - task: {type: t}\n    dataset: {name: x, type: x}\n    metrics: "
    assert run_import(write(tmp_path, f"{card}{metrics}\n---\n"))[0] == 0
    alone = card.replace("name: m", "name: n") + metrics.split("},")[0] + "}]\n---\n"
    assert run_import(write(tmp_path, alone))[0] == 0
    assert {r.coordinates["model"]: r.metrics for r in store.records()} == {
        "m": {"Top-5 accuracy": 0.93, "Top-1 accuracy": 0.76},
        "n": {"Top-5 accuracy": 0.93},
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a model card, which begins with a front matter"),
        ("# title\n", "expected a model card, which begins with a front matter"),
        ("---\nmodel-index: [", "expected a model card, which begins with a front matter"),
        ("---\nmodel-index: [\n---\n", "line 2: not valid YAML: "),
        ("---\na: 1\n---\n", "expected a model card with a list 'model-index'"),
        ("---\nmodel-index: 3\n---\n", "expected a model card with a list 'model-index'"),
        ("---\n- 3\n---\n", "expected a model card with a list 'model-index'"),
        ("---\nmodel-index:\n- x\n---\n", "model-index: expected a model's 'name' and a list 'results'"),
        ("---\nmodel-index:\n- name: x\n  results:\n  - 3\n---\n", "x: expected a task with a 'type'"),
        (
            "---\nmodel-index:\n- name: x\n  results:\n  - task: {type: t}\n---\n",
            "line 5: x: expected a dataset with a 'name'",
        ),
        (
            "---\nmodel-index:\n- name: x\n  results:\n  - task: {type: t}\n    dataset: {name: d}\n---\n",
            "line 5: x: expected a list 'metrics'",
        ),
    ],
)
def test_what_is_no_card_gets_one_line(run_import, tmp_path, text, reason):
    path = write(tmp_path, text)
    status, _, errors = run_import(path, "--as", "model_index")
    assert status == 2
    assert errors.startswith(f"harness: {path}: ")
    assert reason in errors
    assert len(errors.splitlines()) == 1


def test_nothing_in_a_card_is_evaluated(run_import, tmp_path, store):
    """A tag of YAML that makes objects makes a text or an error here, and never a call."""
    target = tmp_path / "made"
    card = CARD.replace("name: my-net", f'name: !!python/object/apply:pathlib.Path.touch ["{target}"]')
    run_import(write(tmp_path, card))
    assert not target.exists()
    bomb = "---\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nmodel-index: [*c]\n---\n"
    assert run_import(write(tmp_path, bomb), "--as", "model_index")[0] == 2


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("card") / "README.md"
    path.write_bytes(f"---\nmodel-index:\n{text}\n---\n".encode("utf-8", "surrogatepass"))
    told = f"{path}: read"
    try:
        list(ModelIndex().read(path))
    except DataError as error:
        told = str(error)
    assert told.startswith(f"{path}: ")
    assert "\n" not in told
