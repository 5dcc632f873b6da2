"""The leaderboards of the shipped suites need no torch, which takes seconds to import."""

import os
import subprocess
import sys
from pathlib import Path

from harness.records.record import Record
from harness.records.store import Store

CODE = """
import sys
from harness.leaderboard.build import build_tables
from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.plotting import draw
from harness.discovery.reference import parse_references
from harness.discovery import registry
from harness.planning.suite import load_suite_file

made = 0
for suite in map(load_suite_file, (plugin.name for plugin in registry.installed("suites"))):
    for kind, written in (
        *(("summaries", table.summary) for table in suite.tables if table.summary),
        *(("plots", {"plugin": plot.kind, "options": plot.options}) for plot in suite.plots),
    ):
        part = Resolver().resolve(kind, parse_references(written, suite.name)[0], suite.name)
        assert part.object is not None and not part.problem, part.problem
        made += 1
assert made
print("torch" in sys.modules)
"""


def test_summaries_and_plots_of_all_suites_are_made_without_torch() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


KEPT = """
import sys
from harness.cli import main
assert main(["table", "--store", sys.argv[1]]) == 0
heavy = ("numpy", "pandas", "scipy", "pyarrow", "pydantic", "matplotlib", "importlib.metadata")
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""


def test_a_table_from_the_cache_imports_nothing_heavy(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    at = {"model": "m", "dataset": "d", "seed": 0}
    store.write(Record("0" * 20, "ok", "s", at, {}, {}, metrics={"top1": 0.5}, directions={"top1": True}))
    store.write_manifest({"name": "s"}, [{"id": "0" * 20, "at": at, "tags": {}}])
    environment = {**os.environ, "HARNESS_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", KEPT, str(store.path)]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        for _ in range(2)
    )
    assert "pandas" in first.stderr
    assert second.stdout == first.stdout
    assert "0.500" in second.stdout
    # tabulate reads its own version
    assert second.stderr in ("[]\n", "['importlib.metadata']\n"), second.stderr
