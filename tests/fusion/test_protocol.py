"""The protocol: each sample encoded once, splits, probes, costs, augmentation, tuning, predictions, refusals."""

from __future__ import annotations

import csv
import threading

import numpy as np
import pytest
import torch

import harness
from harness.errors import OptionError
from harness.inference.features import FeatureCache
from harness.records.store import Store
from harness_fusion.contracts import Features, PairFeatures
from harness_fusion.costs import estimate_raw_rate
from harness_fusion.modality_probes import KINDS, draw_derangement, remove_modality
from harness_fusion.protocol import Fusion


def test_each_sample_is_encoded_once_for_all_arms_seeds_and_splits(suite, records, counting, posts, only):
    split, methods = posts().load("all"), only("text only", "early", "cross")
    suite(methods=methods, seeds=[0, 1], axes={"split": ["clean", "reference"]})
    assert len(records()) == 3 * 2 * 2
    # and one of each more for each way of reading (vectors, tokens), to find the parameters in use
    once = {"image": int(split.has_image.sum()) + 2, "text": int(split.has_text.sum()) + 2}
    assert counting.encoded == once
    suite(methods=only("gated", "cross"), store="another", seeds=[5])
    assert counting.encoded == once


def test_both_rules_report_the_same_samples_and_say_what_stopped_the_training(suite, records, tmp_path, only):
    suite(methods=only("early"), axes={"split": ["clean", "reference"]})
    frame, store = records(), Store(tmp_path / "store")
    ids = {i: tuple(store.samples(i)["id"]) for i in frame["id"]}
    assert len(set(ids.values())) == 1  # the clean rule reports the same fifth
    assert len(next(iter(ids.values()))) == 48
    for split, words in (("clean", "used once"), ("reference", "also stops the training")):
        notes = store.read(frame.loc[frame["split"] == split, "id"].iloc[0]).notes
        assert words in notes["split"]
        assert notes["parts"]["test"]["pairs"] == 48
        assert sum(notes["training_counts"]) == {"clean": 172, "reference": 192}[split]
        counts = np.array(notes["training_counts"])
        assert notes["class_weights"] == pytest.approx(counts.sum() / (2 * counts))


def test_probes_tell_what_each_modality_brings(suite, records):
    """With a label from the text alone, shuffled images change nothing and shuffled texts everything."""
    suite(
        datasets=[{"plugin": "posts", "label": "posts", "label_from": "text"}],
        protocol={"epochs": 20, "rate": 3e-2, "patience": 20},
    )
    frame = records().set_index("method")
    assert frame.loc["text only", "top1"] > 0.85
    for method in ("early", "gated", "cross"):
        row = frame.loc[method]
        assert row["top1"] > 0.8
        assert row["top1"] - row["top1.image shuffled"] < 0.1
        assert row["top1"] - row["top1.text shuffled"] > 0.25
    assert np.isnan(frame.loc["text only", "top1.image shuffled"])  # it reads no images
    assert np.isnan(frame.loc["majority", "top1.text shuffled"])
    assert frame.loc["oracle", "top1"] >= frame.loc[["text only", "image only"], "top1"].max()
    assert 0 <= frame.loc["gated", "share.text"] <= 1
    assert frame.loc["gated", "share.text"] + frame.loc["gated", "share.image"] == pytest.approx(1, abs=1e-5)
    inside, size = frame.loc["early", "top1.conflict"], frame.loc["early", "top1"]
    assert inside != size  # the subset that the data set tells is measured apart


def test_parameters_are_those_in_use_and_rates_belong_together(suite, records):
    suite()
    frame = records().set_index("method")
    text, image = 64 * 5, 12 * 6 + 6
    for method, tower in (
        ("text only", text),
        ("image only", image),
        ("early", text + image),
        ("majority", 0),
    ):
        row = frame.loc[method]
        assert row["parameters"] == tower + row["trainable_parameters"]
    assert frame.loc["majority", "trainable_parameters"] == 0
    assert frame.loc["text only", "trainable_parameters"] == 5 * 16 + 16 + 16 * 2 + 2
    both = frame.loc["early"]
    assert both["samples_per_second"] < both["cached_samples_per_second"]
    assert estimate_raw_rate(100.0, {"text": 50.0, "image": 25.0}) == pytest.approx(
        1 / (1 / 100 + 1 / 50 + 1 / 25)
    )


def test_a_kill_while_features_are_being_kept_costs_no_column(suite, records, only, monkeypatch):
    """The speed of encoding is not lost with a run that ends after the vectors were kept."""
    get = FeatureCache.get

    def killed(self, decides, compute):
        if decides.get("part") == "rate":
            raise KeyboardInterrupt
        return get(self, decides, compute)

    with monkeypatch.context() as patch:
        patch.setattr(FeatureCache, "get", killed)
        with pytest.raises(KeyboardInterrupt):
            suite(methods=only("early"))
    suite(methods=only("early"))
    assert records()["samples_per_second"].notna().all()


def test_the_same_seed_gives_the_same_numbers(suite, records, only):
    for store in ("store", "again"):
        suite(store=store, methods=only("gated", "cross"))
    first, second = (records(s).set_index("method") for s in ("store", "again"))
    for column in ("top1", "weighted_f1", "top1.image shuffled"):
        assert first[column].equals(second[column])


def test_augmented_views_are_encoded_once_for_arms_and_seeds(suite, records, counting, only):
    methods = only("early", "text only")
    suite(methods=methods, axes={"augmentation": ["off"]})
    plain = dict(counting.encoded)
    suite(methods=methods, seeds=[0, 1], axes={"augmentation": ["on"]}, protocol={"views": 2}, store="on")
    more = {k: counting.encoded[k] - plain[k] for k in plain}
    training = 172  # two views of those in the training part that have the modality
    assert 0.9 * 2 * training < more["text"] <= 2 * training
    assert 0.9 * 2 * training < more["image"] <= 2 * training
    assert not records().equals(records("on"))


def test_augmentation_of_one_modality_leaves_the_other_alone(suite, counting, only):
    suite(methods=only("early"), axes={"augmentation": ["text"]}, protocol={"epochs": 2})
    split_sizes = counting.encoded
    assert split_sizes["text"] > split_sizes["image"] + 200  # anew in both epochs


@pytest.mark.parametrize("augmentation", ["off", "on"])
def test_end_to_end_training_moves_the_towers_that_are_used(
    suite, records, counting, tmp_path, augmentation, monkeypatch, only
):
    seen = []
    load = counting.load

    def remember(self, device):
        load(self, device)
        seen.append((self, {n: p.clone() for n, p in self.module.named_parameters()}))

    monkeypatch.setattr(counting, "load", remember)
    suite(
        methods=only("text only", "cross"), axes={"augmentation": [augmentation]},
        protocol={"encoders": "tuned", "encoder_rate": 1e-2, "epochs": 2},
    )  # fmt: skip
    frame = records().set_index("method")
    moved = [
        {n for n, p in model.module.named_parameters() if not torch.equal(p, before[n])}
        for model, before in seen
    ]
    assert moved == [{"text.weight"}, {"text.weight", "image.weight", "image.bias"}]
    assert frame.loc["text only", "trainable_parameters"] == frame.loc["text only", "parameters"]
    assert np.isfinite(frame["samples_per_second"]).all()
    assert not any(p.requires_grad for model, _ in seen for p in model.module.parameters())


def test_images_of_tuned_encoders_are_prepared_ahead_and_workers_change_nothing(
    own_plugins, suite, records, counting, only, monkeypatch
):
    """With workers, never in the thread that trains."""
    prepare, threads = counting.prepare, set()

    def noting(self, image):
        threads.add(threading.current_thread().name.split("_")[0])
        return prepare(self, image)

    monkeypatch.setattr(counting, "prepare", noting)
    found = []
    for workers in (0, 2):
        suite(
            methods=only("early"), axes={"augmentation": ["on"]}, store=f"workers {workers}", workers=workers,
            protocol={"encoders": "tuned", "encoder_rate": 1e-2, "epochs": 3},
        )  # fmt: skip
        found.append((records(f"workers {workers}")["top1"].item(), threads.copy()))
        threads.clear()
    (alone, _), (several, threads) = found
    assert alone == several
    assert threads == {"prepare"}


def test_predictions_of_the_split_without_labels_go_to_a_file(suite, records, tmp_path, only):
    suite(methods=only("early"), protocol={"predict": str(tmp_path / "out"), "layout": "label"})
    records()
    (file,) = (tmp_path / "out").glob("*.csv")
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [r["id"] for r in rows] == [f"unlabelled{i}" for i in range(240)]
    assert {r["label"] for r in rows} <= {"negative", "positive"}


def test_pairs_in_which_nothing_can_be_read_are_in_the_file_too(
    suite, records, tmp_path, only, posts, monkeypatch
):
    """A challenge wants an answer for every id; these get the commonest class of the training part."""
    load = posts.load

    def with_lost(self, name):
        split = load(self, name)
        split.left_out = ["lost"] if name == "unlabelled" else []
        if name == "all":
            split.targets = (np.arange(len(split)) % 3 > 0).astype(np.int64)
        return split

    monkeypatch.setattr(posts, "load", with_lost)
    suite(methods=only("early"), protocol={"predict": str(tmp_path / "out"), "layout": "label"})
    records()
    (file,) = (tmp_path / "out").glob("*.csv")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 240 + 1
    assert lines[-1] == "lost,positive"


def test_a_bound_is_measured_though_it_can_predict_nothing(suite, records, tmp_path, only):
    suite(methods=only("oracle", "early"), protocol={"predict": str(tmp_path / "out")})
    frame = records().set_index("method")
    store = Store(tmp_path / "store")
    assert len(list((tmp_path / "out").glob("*.csv"))) == 1
    assert store.read(frame.loc["oracle", "id"]).notes["predictions"].startswith("none")
    assert store.read(frame.loc["early", "id"]).notes["predictions"].endswith(".csv")


@pytest.mark.parametrize(
    ("protocol", "splits", "words"),
    [
        ({"predict": "out", "layout": "memes"}, ("all",), "no split without labels"),
        ({"predict": "taken"}, ("all", "unlabelled"), "must be a folder"),
    ],
)
def test_predictions_that_could_not_be_written_are_refused_before_training(
    suite, tmp_path, only, posts, monkeypatch, protocol, splits, words
):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setattr(posts, "splits", splits)
    monkeypatch.setattr("harness_fusion.fusion_cell.train_head", None)
    run = suite(methods=only("early"), protocol=protocol | {"predict": str(tmp_path / protocol["predict"])})
    assert words in run.records[0].reason


def test_tokens_are_kept_on_whichever_side_a_text_is_padded(suite, only, counting, monkeypatch):
    """An encoder that pads on the left has its tokens at the end."""
    from harness_fusion.modality_features import Encoders

    plain, seen = counting.encode_text_tokens, []

    def left(self, texts):
        pooled, tokens, mask = plain(self, texts)
        return pooled, tokens.flip(1), mask.flip(1)

    def remember(self, modality, *rest, **more):
        features = kept(self, modality, *rest, **more)
        seen.extend([features.mask] if modality == "text" else [])
        return features

    kept = Encoders.load_features
    monkeypatch.setattr(counting, "encode_text_tokens", left)
    monkeypatch.setattr(Encoders, "load_features", remember)
    suite(methods=only("cross"))
    assert int(seen[0].sum(1).max()) >= 3  # "<s> it is good" has four words, "<s> so bad" three


def test_what_was_found_in_all_splits_of_a_cell_is_noted(suite, records, tmp_path, only, posts, monkeypatch):
    """A data set's own splits are reported on together, the one that is predicted among them."""
    load = posts.load

    def own(self, name):
        split = load(self, name)
        split.report |= {"labels": {"negative": 1}, "whole": {"label null": {"count": 9, "names": ["x"]}}}
        return split

    monkeypatch.setattr(posts, "load", own)
    monkeypatch.setattr(posts, "splits", ("train", "val", "test", "unlabelled"))
    suite(methods=only("early"), store="bare")
    suite(methods=only("early"), protocol={"predict": str(tmp_path / "out")})
    for name, count in (("bare", 3), ("store", 4)):
        data = Store(tmp_path / name).read(records(name)["id"].iloc[0]).notes["data"]
        assert data["pairs"] == count * 240
        assert data["labels"] == {"negative": count}
        assert data["kinds"]["text missing"]["count"] == 3 * count
        assert data["kinds"]["text missing"]["names"] == ["a", "b", "c"] * count
        assert data["whole"]["label null"]["count"] == 9  # said of the collection, by every split


def test_standardised_vectors_have_the_training_parts_mean_and_deviation(suite, records, only):
    suite(protocol={"vectors": "standard"}, methods=only("early"))
    records()
    with pytest.raises(OptionError, match="needs frozen encoders"):
        Fusion(vectors="standard", encoders="tuned")


def test_limit_and_curves_and_notes(suite, tmp_path, only):
    run = suite(methods=only("gated"))
    store = Store(tmp_path / "store")
    (row,) = harness.load("small", store=tmp_path / "store").to_dict("records")
    curves = store.curves(row["id"])
    assert set(curves["column"]) == {"epoch", "rate", "loss", "validation_loss", "weighted_f1"}
    notes = store.read(row["id"]).notes
    assert notes["data"]["kinds"]["text missing"]["count"] == 3
    assert notes["misses"]["pairs"] == 48
    assert notes["training"]["schedule"] == "cosine over all epochs"
    assert run.tables()


def test_what_can_not_work_is_skipped_with_the_reason(suite, tmp_path):
    def reasons(**changes):
        suite(store="skipped", **changes)
        plan = harness.plan(
            {"name": "p", "protocol": "fusion", "datasets": ["posts"], "methods": ["cross-attention"],
             "models": ["counting"], "metrics": ["top1"], **changes}
        )  # fmt: skip
        return {p.reason for p in plan}

    assert "does not encode texts" in next(iter(reasons(models=["timm:resnet10t?pretrained=false"])))
    assert "did you mean 'clean'" in next(iter(reasons(axes={"split": ["clena"]})))
    assert "no split 'all' or 'train'" in next(iter(reasons(datasets=[{"plugin": "scenes", "shift": "r"}])))
    assert "tokens = false" in next(iter(reasons(protocol={"plugin": "fusion", "tokens": False})))


def test_options_that_mean_nothing_are_refused():
    for wrong in (
        {"epochs": 0}, {"rate": 0}, {"dropout": 1.0}, {"patience": -1}, {"views": -1}, {"t_max": 0},
        {"weight_decay": -0.1},
    ):  # fmt: skip
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Fusion(**wrong)
    with pytest.raises(OptionError, match="did you mean 'flip'"):
        Fusion(changes={"flap": 0.1})


# ---------------------------------------------------------------- probes


def pairs(count=12):
    generator = torch.Generator().manual_seed(0)
    present = torch.arange(count) % 5 != 0
    mask = torch.arange(4)[None] < (1 + torch.arange(count) % 4)[:, None]
    text = Features.from_pooled(
        torch.randn(count, 3, generator=generator),
        present,
        torch.randn(count, 4, 2, generator=generator),
        mask,
    )
    image = Features.from_pooled(torch.randn(count, 5, generator=generator))
    return PairFeatures(text, image, torch.arange(count) % 2)


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_shuffle_is_a_permutation_that_leaves_nobody_in_place(count):
    order = draw_derangement(count, 3)
    assert sorted(order.tolist()) == list(range(count))
    assert not (order == torch.arange(count)).any()
    assert draw_derangement(1, 0).tolist() == [0]


def test_probes_change_one_modality_as_they_say():
    given = pairs()
    shuffled = remove_modality(given, "text", "shuffled", given.text, 1)
    order = draw_derangement(12, 1)
    assert torch.equal(shuffled.text.pooled, given.text.pooled[order])
    assert torch.equal(shuffled.text.present, given.text.present[order])
    assert torch.equal(shuffled.text.mask, given.text.mask[order])
    zeroed = remove_modality(given, "text", "zeroed", given.text)
    assert not zeroed.text.pooled.any()
    assert not zeroed.text.tokens.any()
    assert torch.equal(zeroed.text.present, given.text.present)
    averaged = remove_modality(given, "text", "averaged", given.text)
    expected = given.text.pooled[given.text.present].mean(0)
    assert torch.allclose(averaged.text.pooled, expected.expand(12, 3))
    tokens = given.text.sequence[given.text.visible]
    assert torch.allclose(averaged.text.sequence[0, 0], tokens.mean(0), atol=1e-6)
    missing = remove_modality(given, "text", "missing", given.text)
    assert not missing.text.visible.any()
    assert not missing.text.vector.any()
    for kind in KINDS:
        altered = remove_modality(given, "image", kind, given.image)
        assert altered.text is given.text
        assert torch.equal(altered.targets, given.targets)


def test_texts_that_the_encoder_cuts_are_counted(suite, counting, posts, only, monkeypatch):
    monkeypatch.setattr(
        counting, "token_counts", lambda self, texts: [len(t.split()) for t in texts], raising=False
    )
    monkeypatch.setattr(counting, "context_length", 2, raising=False)
    long = sum(len(t.split()) > 2 for t in posts().load("all").texts)
    for store in ("store", "another"):  # the second finds the features in the cache
        (record,) = suite(methods=only("text only"), seeds=[0], store=store).records
        whole = int(posts().load("all").has_text.sum())
        said = f"posts: {long} of {whole} texts of 'all' are longer than the 2 tokens the model reads and were cut"
        assert said in record.remarks
