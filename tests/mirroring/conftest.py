"""An S3 server on this machine, servers that refuse, and stores with records made by hand."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contract.evidence import Predictions
from harness.discovery import registry
from harness.mirroring.bucket import open_bucket
from harness.records import store as stores
from harness.records.record import Record
from harness.records.store import Store

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing that a test registers, opens or warns of reaches another; no keys or addresses of the user's do."""
    monkeypatch.setattr(registry, "_local", {})
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for name in ("HARNESS_REMOTE", "HARNESS_STORE", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    stores._warned.clear()
    open_bucket.cache_clear()
    yield
    open_bucket.cache_clear()


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of moto's S3 server."""
    server = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


def set_keys(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Point the S3 client to a server, with keys."""
    keys = {
        "AWS_ACCESS_KEY_ID": "AKIAPUBLIC",
        "AWS_SECRET_ACCESS_KEY": "verysecret",
        "AWS_REGION": "us-east-1",
    }
    for name, value in {**keys, "AWS_ENDPOINT_URL": address}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def boto(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Another client of the same server."""
    import boto3

    set_keys(monkeypatch, s3_address)
    return boto3.client("s3", endpoint_url=s3_address, region_name="us-east-1")


@pytest.fixture
def url(boto: Any) -> str:
    """The address of a folder in a new bucket."""
    name = f"bucket-{next(_numbers)}"
    boto.create_bucket(Bucket=name)
    return f"s3://{name}/some/store"


@pytest.fixture(params=["s3", "memory", "file"])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind that can be tried here."""
    if request.param == "s3":
        found: str = request.getfixturevalue("url")
        return found
    return f"memory://{next(_numbers)}" if request.param == "memory" else f"file://{tmp_path}/shared"


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], str]]:
    """Starts a server that answers everything alike, to which the S3 client then points."""
    running: list[ThreadingHTTPServer] = []

    def start(status: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else body.encode())

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        set_keys(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}")
        return "s3://a-bucket/store"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


EVIDENCE_ID = "ee" * 8


class Machine:
    """A store, and records written into it."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path)

    def record(self, id: str, value: float = 0.5, status: str = "ok", **more: Any) -> Record:
        """A record with samples, curves, an image and evidence, unless it failed."""
        at = {"experiment": "e", "protocol": "p", "model": id[:4], "dataset": "d", "method": "", "seed": 0}
        record = Record(id, status, "demo", at, {}, {"metrics": [], "protocol": {"plugin": "p"}})
        record.provenance = {"started": more.pop("started", "2026-01-02T03:04:05+00:00")}
        record.provenance["evidence"] = more.pop("evidence", EVIDENCE_ID)
        record.failures = more.pop("failures", {})
        if status != "ok":
            record.reason = "ZeroDivisionError: deliberate"
            self.store.write(record)
            return record
        record.metrics, record.directions, record.count = {"top1": value}, {"top1": True}, 4
        hits = more.pop("hits", [1.0, 0.0, 1.0, value])
        samples = {"id": ["a", "b", "c", "d"], "target": [0, 1, 0, 1], "top1": hits}
        curves = {"loss": {"step": [0, 1], "value": [2.0, value]}}
        image = np.full((2, 2, 3), int(255 * value), np.uint8)
        scores = np.full((4, 2), value, np.float32)
        given = {"": Predictions(scores, np.array([0, 1, 0, 1]), ["x", "y"])}
        self.store.write(record, samples, curves, {"grid": image}, given)
        return record

    def plan(self, *ids: str, suite: str = "demo") -> None:
        """The plan of a suite with these cells."""
        cells = [{"id": id, "at": {"model": id[:4], "seed": 0}, "tags": {}} for id in ids]
        self.store.write_manifest({"name": suite, "title": "t"}, cells)

    def files(self) -> Mapping[str, bytes]:
        """All that belongs to records and plans, by name."""
        kinds = ("records", "samples", "curves", "images", "evidence", "suites")
        found = (p for kind in kinds for p in (self.store.path / kind).rglob("[!.]*") if p.is_file())
        return {p.relative_to(self.store.path).as_posix(): p.read_bytes() for p in found}


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Machine]:
    """Makes a machine with an empty store."""
    return lambda name: Machine(tmp_path / name / "store")
