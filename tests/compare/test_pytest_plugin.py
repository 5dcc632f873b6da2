"""The pytest plugin, as a team's test suite sees it."""

import subprocess
import sys

import numpy as np
import pandas as pd  # noqa: F401 - what a run inside this process imports first, pytester takes out again
import pyarrow.parquet as pq  # noqa: F401
import pytest
import scipy.special
import scipy.stats  # noqa: F401
import torch  # noqa: F401

pytest_plugins = ["pytester"]

TEST = """
    def test_model(harness_check):
        harness_check("demo", model="{model}", baseline_model="base", run=False, store={store!r},
                      baseline_store={baseline!r}, fail_on=["{gate}"]{more})
"""


@pytest.fixture
def case(maker, pytester):
    """Run a test that compares a model which loses `lost` of 1000 samples with the baseline."""
    a, b = maker("published"), maker("own")
    for data in ("x", "y"):
        a.record("base", data, np.ones(1000))
        for lost in (0, 6, 100):
            b.record(f"loses {lost}", data, np.arange(1000) >= lost)
    baseline, store = str(a.done().path), str(b.done().path)

    def run(lost, *options, gate="top1 < -0.5", model=None, more=""):
        test = TEST.format(
            model=model or f"loses {lost}", store=store, baseline=baseline, gate=gate, more=more
        )
        pytester.makepyfile(test)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)

    return run


def test_passes(case):
    case(0).assert_outcomes(passed=1)


def test_failure_lists_the_verdicts(case):
    result = case(100)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*harness_check: fail",
            "*gate top1 < -0.5: FAIL: *dataset x*is beyond the limit of -0.5 points",
            "*gate top1 < -0.5: FAIL: *dataset y*",
            "*gates: FAIL (0 of 2 verdicts pass)",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("options", "more", "outcome"),
    [
        ([], "", {"failed": 1}),
        (["--harness-inconclusive=xfail"], "", {"xfailed": 1}),
        (["--harness-inconclusive=warn"], "", {"passed": 1, "warnings": 1}),
        (["-o", "harness_inconclusive=xfail"], "", {"xfailed": 1}),
        (["--harness-inconclusive=xfail"], ", inconclusive='fail'", {"failed": 1}),
    ],
)
def test_what_becomes_of_the_undecided(case, options, more, outcome):
    case(6, *options, more=more).assert_outcomes(**outcome)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"gate": "top1 is bad"}, "*harness_check: gate 'top1 is bad': expected METRIC OP NUMBER*"),
        ({"model": "loses 5"}, "*harness_check: B: *nothing has model=*"),
        ({"gate": "top2 < -1"}, "*harness_check: no record has the metric 'top2'; did you mean 'top1'?"),
    ],
)
def test_wrong_use_fails_with_one_line(case, change, line):
    result = case(0, **change)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([line])


def test_runs_what_is_missing(maker, pytester):
    """A model that is right half of the time, run against a recorded one that always is."""
    a = maker("published", suite="mine")
    ids = [str(i) for i in range(400)]
    a.record("always", "coins", np.ones(400), ids=ids, axes={})
    baseline = str(a.done().path)
    pytester.makepyfile(
        f"""
        import numpy as np
        import harness
        from harness import Predictions, Result

        class Coins:
            splits = ("test",)
            def load(self, split):
                raise AssertionError("not needed")

        class Guesser:
            def load(self, device):
                self.right = np.arange(400) % 2

        class Zero:
            provides = (Predictions,)
            units = {{"top1": "fraction"}}
            def run(self, job):
                right = job.model.right.astype(float)
                samples = {{"id": [str(i) for i in range(400)], "prediction": right, "top1": right}}
                return Result({{"top1": right.mean()}}, count=400, samples=samples)

        def test_guesser(harness_check):
            harness.register("models", "guesser", Guesser)
            harness.register("datasets", "coins", Coins)
            harness.register("protocols", "zero", Zero)
            suite = {{"name": "mine", "experiments": [{{"name": "e"}}], "protocol": "zero",
                     "models": ["guesser"], "datasets": ["coins"]}}
            harness_check(suite, model="guesser", baseline_model="always", device="cpu",
                          baseline_store={baseline!r}, fail_on="top1 < -1")
        """
    )
    result = pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", f"--harness-store={pytester.path / 'kept'}"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*gate top1 < -1: FAIL: *dataset coins*"])
    assert list((pytester.path / "kept" / "records").rglob("*.json"))


def test_costs_nothing_at_the_start_of_pytest():
    code = (
        "import sys, pytest, importlib.metadata as m; before = set(sys.modules); import harness.testing.pytest_plugin; "
        "new = set(sys.modules) - before; "
        "heavy = {'numpy', 'pandas', 'torch', 'pyarrow', 'scipy', 'pydantic', 'orjson', 'matplotlib'}; "
        "assert not new & heavy, new & heavy; "
        "own = {'harness', 'harness.lazy', 'harness.testing', 'harness.testing.pytest_plugin'}; "
        "assert {n for n in new if n.startswith('harness')} == own, new; "
        "(point,) = m.entry_points(group='pytest11', name='vision-harness'); "
        "assert point.value == 'harness.testing.pytest_plugin'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
