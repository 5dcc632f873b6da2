"""The metric that the README and the guide to Python show as an example is one that the kit passes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import Predictions
from harness.testing import MetricConformance

ROOT = Path(__file__).resolve().parents[2]
# softmax of (log 3, 0) is (3/4, 1/4): once for the right class, once for the other
KNOWN = Predictions(np.log([[3.0, 1.0], [3.0, 1.0]]), np.array([0, 1]), ["a", "b"])


class TestShownMetric(MetricConformance):
    @pytest.fixture(params=["README.md", "harness/guides/python-api.md"])
    def metric(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        text = (ROOT / request.param).read_text(encoding="utf-8")
        (code,) = re.findall(
            r"\n((?:class |@harness)(?:(?!\n\n\n|```).)*?higher_is_better.*?\n)(?:\n\n|```)", text, re.DOTALL
        )
        file = tmp_path / "shown_metric.py"
        file.write_text(
            "import harness\nimport numpy as np\nfrom harness import DataError, Predictions\n\n\n" + code
        )
        spec = importlib.util.spec_from_file_location("shown_metric", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        (shown,) = (v for v in vars(module).values() if getattr(v, "__module__", "") == "shown_metric")
        return shown() if isinstance(shown, type) else shown

    @pytest.fixture
    def examples(self) -> Any:
        return [(KNOWN, 0.5)]
