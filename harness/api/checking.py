"""`harness.selftest`: a machine's device against its CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.keywords import as_list, refusing_unknown

if TYPE_CHECKING:
    from harness.selftesting.rows import SelfTest


@refusing_unknown()
def selftest(
    *,
    device: str = "auto",
    suites: str | Sequence[str] = (),
    quick: bool = False,
    model: str | None = None,
    out: str | Path | None = None,
    format: str = "terminal",
    progress: bool = False,
) -> SelfTest:
    """Run small parts of every suite on a device and on the CPU, and compare numbers, memory and speed.

    Args:
        device: auto, cpu, cuda, cuda:1, mps.
        suites: only these, by their edition `quick` or as SUITE@EDITION; by default all that are installed.
        quick: only the smallest grid of each protocol, in place of suites.
        model: the network of the speed checks; by default timm's resnet50 with random weights.
        out: a file to write the table to, too, as `format` says: terminal or markdown.
        progress: whether to report on stderr.

    `.holds` says whether everything is within its tolerance, `.rows` what was compared, `.render("markdown")`
    the table. Raises HarnessError if torch can't use the device, or a suite can't be planned.
    """
    import sys

    from harness.records.files import write_bytes
    from harness.selftesting.check_device import MODEL, check_device

    def say(text: str) -> None:
        if progress:
            print(f"selftest: {text}", file=sys.stderr, flush=True)

    found = check_device(device, as_list(suites), quick, model or MODEL, say)
    if out is not None:
        write_bytes(Path(out), found.render(format).encode())
    return found
