"""`harness serve`: show the report on a store that is being filled, live."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from typing import TYPE_CHECKING

from harness.cli.common import add_store_argument, open_store
from harness.errors import StoreError

if TYPE_CHECKING:
    from harness.records.store import Store

PORT = 8765


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add(
        "suites", nargs="*", metavar="SUITE", help="default: all that the store knows, and those that it will"
    )
    add_store_argument(parser)
    add(
        "--port",
        type=_parse_port,
        default=PORT,
        metavar="N",
        help=f"of the page ({PORT}); 0 for any free one",
    )
    add(
        "--host",
        default="127.0.0.1",
        metavar="HOST",
        help="address to listen on (127.0.0.1: this machine only); on any other, a token in the printed address "
        "is needed to read the page",
    )


def main(given: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from harness.planning.suite import find_suite_name

    store = open_store(given)
    if not store.path.is_dir():
        raise StoreError(
            f"{store.path}: no such store: harness run SUITE makes one, or name another with --store"
        )
    names = [find_suite_name(text) for text in given.suites] or None
    from harness.reporting.live import LiveReport, Watcher
    from harness.reporting.server import ReportServer

    with ReportServer(LiveReport(store, names), given.host, given.port) as server:
        # answers are given by threads: Ctrl-C, which this one hears, breaks none of them off
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        watcher = Watcher(server.report)
        serving.start()
        watcher.start()
        try:
            _say_where(server.access.url, store, given.json)
            while serving.is_alive():
                serving.join(1.0)
        except KeyboardInterrupt:
            pass
        finally:
            server.shutdown()
            watcher.stop()
    return 0


def _say_where(url: str, store: Store, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"url": url, "store": str(store.path)}), flush=True)
    else:
        print(url, flush=True)
        print("harness: the page follows the store; Ctrl-C ends it", file=sys.stderr, flush=True)


def _parse_port(text: str) -> int:
    """Parse a port from 0 to 65535."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, found {text!r}")
    return int(text)
