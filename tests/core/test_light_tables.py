"""The leaderboards of the shipped suites need no torch, which takes seconds to import."""

import subprocess
import sys

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
