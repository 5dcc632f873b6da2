"""The protocol `classification`: a model that does not say its label space is read by its logits all the same."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.contract.running import Job
from harness.contract.sharing import Shared
from harness.errors import DataError
from harness.inference.features import FeatureCache, feature_key
from harness_metrics.classification import Top1
from harness_robustness.protocol import Classification


class Brightest:
    """Classifies an image by its brightest channel, and says nothing of its label space."""

    label_space = ""

    def load(self, device):
        pass

    def prepare(self, image):
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()

    def classify(self, images):
        return images.mean(dim=(2, 3))


class Colours:
    label_space = "colours"
    splits = ("test",)

    def __init__(self, *names):
        self.class_names = names
        self.ids = [str(i) for i in range(6)]
        self.targets = np.arange(6) % 3

    def load(self, split):
        return self

    def __len__(self):
        return 6

    def __getitem__(self, index):
        image = np.zeros((4, 4, 3), np.uint8)
        image[..., self.targets[index]] = 200
        return SimpleNamespace(id=self.ids[index], image=image)


def job(dataset, folder):
    cell = SimpleNamespace(
        model=None,
        dataset=SimpleNamespace(identity="{}", label="colours"),
        limit=None,
        images="exact",
        evidence_id="0" * 20,
    )
    given = {
        "dataset": dataset, "splits": dataset.load, "model": Brightest(), "cell": cell, "device": torch.device("cpu"),
        "precision": "float32", "batch_size": 4, "workers": 0, "cache": FeatureCache(folder),
        "metrics": {"top1": Top1()}, "advance": lambda done, total: None, "kept": Shared(), "keying": feature_key, "remarks": [],
        "failures": {},
    }  # fmt: skip
    return Job(**{**dict.fromkeys(Job.__dataclass_fields__), **given})


def test_a_classifier_without_a_label_space_is_read_by_its_logits(tmp_path):
    dataset = Colours("red", "green", "blue")
    assert Classification().cannot(Brightest(), dataset, None, {}) is None
    result = Classification().run(job(dataset, tmp_path))
    assert result.metrics == {"top1": 1.0}
    assert result.notes["classifier"] == "supervised"
    with pytest.raises(DataError, match="has 3 outputs, the data set 2 classes"):
        Classification().run(job(Colours("red", "green"), tmp_path / "other"))
