"""Shards at an address, read from a web server on this machine: equal to the local ones, and told where they can't be."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import harness
from harness import testing
from harness.errors import DataError, HarnessError
from harness.mirroring.bucket import open_bucket
from harness_data import remote_shards
from harness_data.pair_shards import PairShards
from harness_data.remote_shards import RemoteShard
from harness_data.shard_addresses import expand_address
from harness_data.shards import index_shard
from harness_data.tar_index import list_tar
from harness_data.webdatasets import WebDataset

pytest.importorskip("obstore")


class Server:
    """A web server of a folder: ranges and etags, unless a test says otherwise; notes what it is asked."""

    def __init__(self, folder):
        self.folder, self.asked, self.failing = folder, [], 0
        self.ranges = self.etags = True
        self.absent = 404, b""
        own = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                own.asked.append((self.command, self.path, self.headers.get("Range")))
                path = own.folder / self.path.lstrip("/")
                if own.failing and self.headers.get("Range"):
                    own.failing -= 1
                    return self.reply(503, b"")
                if not path.is_file():
                    return self.reply(*own.absent)
                data = path.read_bytes()
                etag = {"ETag": f'"{hashlib.md5(data).hexdigest()}"'} if own.etags else {}
                wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
                if wanted is None or not own.ranges:
                    return self.reply(200, data, **etag)
                first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
                if first > last:
                    return self.reply(416, b"")
                where = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
                return self.reply(206, data[first : last + 1], **etag, **where)

            do_GET = do_HEAD = answer

            def reply(self, status, data, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def ranges_asked(self):
        return [found for _, _, found in self.asked if found]

    def bytes_asked(self):
        bounds = (found.removeprefix("bytes=").split("-") for found in self.ranges_asked())
        return sum(int(last) - int(first) + 1 for first, last in bounds)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    open_bucket.cache_clear()
    yield
    open_bucket.cache_clear()


def encoded(value):
    file = io.BytesIO()
    noise = np.random.default_rng(value).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def write(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def data(tmp_path):
    """A data set in the layout of `webdataset`, and the same shards named as the web names them."""
    root = tmp_path / "data"
    for number in range(3):
        members = [
            member
            for i in range(5)
            for member in (
                (f"dir/s{number}{i}.png", encoded(5 * number + i)),
                (f"dir/s{number}{i}.cls", str(i % 2).encode()),
                (f"dir/s{number}{i}.txt", f"words {number} {i} ä".encode()),
                (f"dir/s{number}{i}.json", b"{}"),
            )
        ]
        write(root / "test" / f"{number}.tar", members)
        shutil.copy(root / "test" / f"{number}.tar", root / "test" / f"shard-{number:06}.tar")
    (root / "test" / "nshards.txt").write_text("3\n")
    (root / "classnames.txt").write_text("cat\ndog\n")
    (root / "zeroshot_classification_templates.txt").write_text("a photo of a {c}.\n")
    return root


@pytest.fixture
def server(data):
    running = Server(data)
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def pattern(server):
    return f"{server.url}/test/shard-{{000000..000002}}.tar"


def load(kind, path, split="test"):
    return harness_part(kind, path).load(split)


def harness_part(kind, path):
    """The data set as a user's text makes it, through the checks of options."""
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import parse_short

    return Resolver().resolve("datasets", parse_short(f"{kind}:{path}"), "test").object


def same(one, other):
    assert list(one.ids) == list(other.ids)
    assert one.targets.tolist() == other.targets.tolist()
    assert list(one.class_names) == list(other.class_names)
    for a, b in zip(one, other, strict=True):
        assert (a.id, a.label, a.text) == (b.id, b.label, b.text)
        assert a.image.data == b.image.data


@pytest.mark.parametrize("where", ["/test/shard-{000000..000002}.tar", "", "/test/{0,1,2}.tar"])
def test_samples_equal_the_local_ones_in_their_order(data, server, where):
    local, remote = load("webdataset", data), load("webdataset", server.url + where)
    same(local, remote)
    assert remote.templates == local.templates == ["a photo of a {}."]
    assert [text.replace("shard-00000", "") for text in remote.remarks] == local.remarks


def test_pairs_equal_the_local_ones(data, server, pattern):
    local, remote = load("pairs-webdataset", data), load("pairs-webdataset", pattern)
    assert list(local.ids) == list(remote.ids)
    assert local.targets.tolist() == remote.targets.tolist()
    assert list(local.texts) == list(remote.texts)
    assert [s.image.data for s in local] == [s.image.data for s in remote]


def test_numbers_are_equal_to_the_bit(data, pattern, tmp_path):
    suite = {
        "name": "shards", "protocol": "classification", "models": ["tiny-clip"],
        "datasets": [f"webdataset:{data}", f"webdataset:{pattern}"], "metrics": ["top1", "nll"],
    }  # fmt: skip
    outcome = harness.run(suite, store=tmp_path / "store", device="cpu", progress=False)
    one, other = outcome.records
    assert one.status == other.status == "ok"
    assert one.metrics == other.metrics
    store = outcome.store
    assert store.samples(one.id).equals(store.samples(other.id))
    known = [text for text in other.remarks if "not by their content" in text]
    assert len(known) == 1
    assert known[0].partition(": ")[2] == (
        f"3 shards at {pattern} are known by what their server calls their version (etag or time), size, and names "
        "and sizes of their members, not by their content"
    )


def test_headers_are_read_once_and_bodies_skipped(tmp_path):
    big = [(f"s{n}.bin", bytes([n]) * 300_000) for n in range(8)]
    write(tmp_path / "data" / "0.tar", big)
    server = Server(tmp_path / "data")
    shard = RemoteShard(open_bucket(server.url), "0.tar")
    members = shard.list_members()
    assert [m.name for m in members] == [name for name, _ in big]
    assert server.bytes_asked() < 0.1 * 8 * 300_000
    asked = len(server.asked)
    again = RemoteShard(open_bucket(server.url), "0.tar")
    assert again.list_members() == members
    assert [command for command, *_ in server.asked[asked:]] == ["HEAD"]
    assert shard.read(members[3].offset, members[3].size, "x") == big[3][1]


def test_small_members_come_many_to_a_request(tmp_path):
    write(tmp_path / "data" / "0.tar", [(f"s{n:05}.cls", b"1") for n in range(3000)])
    server = Server(tmp_path / "data")
    assert len(RemoteShard(open_bucket(server.url), "0.tar").list_members()) == 3000
    assert len(server.ranges_asked()) < 30


def test_a_new_version_has_another_identity_and_is_noticed_while_reading(data, server, pattern):
    before = WebDataset(pattern)
    first, split = before.fingerprint(), before.load("test")
    assert WebDataset(pattern).fingerprint() == first
    (data / "test" / "shard-000001.tar").write_bytes((data / "test" / "2.tar").read_bytes())
    with pytest.raises(DataError, match=r"shard-000001\.tar:dir/s10\.png: its shard was replaced meanwhile"):
        split[5].image  # noqa: B018
    assert WebDataset(pattern).fingerprint() != first


def test_class_names_belong_to_the_identity(data, server, pattern):
    first = WebDataset(pattern).fingerprint()
    (data / "classnames.txt").write_text("cat\nemu\n")
    assert WebDataset(pattern).fingerprint() != first


def test_a_server_without_versions_is_told(server, pattern):
    server.etags = False
    assert WebDataset(pattern).remarks[0].endswith("; of 3 the server tells no version")


def test_a_server_that_ignores_ranges_is_told(server, pattern):
    server.ranges = False
    with pytest.raises(
        DataError, match=r"answers no range requests, so .* can't be read in place: download"
    ) as raised:
        load("webdataset", pattern)
    assert "\n" not in str(raised.value)


def test_short_faults_are_tried_again(server, pattern, data):
    server.failing = 2
    same(load("webdataset", pattern), load("webdataset", data))


def test_missing_shards_and_places(server, pattern, data):
    (data / "test" / "shard-000001.tar").unlink()
    with pytest.raises(DataError, match=r"shard-000001\.tar: no such file there"):
        WebDataset(pattern).load("test")
    assert "no <split>/nshards.txt there" in WebDataset(f"{server.url}/elsewhere").unavailable()
    assert "no such file there" in WebDataset(f"{server.url}/elsewhere/{{0..3}}.tar").unavailable()
    (data / "test" / "nshards.txt").write_text("many")
    assert (
        "nshards.txt: expected the number of shards, at most 100,000, found 'many'"
        in WebDataset(server.url).unavailable()
    )


@pytest.mark.parametrize("where", ["/test/shard-{000000..000002}.tar", ""])
@pytest.mark.parametrize("absent", [(403, b"no"), (200, b" <!DOCTYPE html><p>not here"), (404, b"")])
def test_what_servers_answer_for_what_is_not_there(server, data, absent, where):
    """Buckets whose names may not be listed refuse it, and some sites have a page for it."""
    (data / "zeroshot_classification_templates.txt").unlink()
    server.absent = absent
    found = WebDataset(server.url + where)
    assert found.unavailable() is None
    same(found.load("test"), load("webdataset", data))
    assert found.load("test").templates is None
    told = [text for text in found.remarks if "counts as absent" in text]
    assert len(told) == (absent[0] == 403)
    assert all("zeroshot_classification_templates.txt" in text for text in told)
    assert not any("classnames.txt" in text for text in told)


def test_a_server_that_refuses_everything_is_told(server):
    server.absent = 403, b"no"
    assert "access is refused (403 Forbidden)" in WebDataset(f"{server.url}/elsewhere").unavailable()
    assert "access is refused (403 Forbidden)" in WebDataset(f"{server.url}/elsewhere/0.tar").unavailable()


@pytest.mark.parametrize("count", ["99999999999", "9" * 5000, "<p>" + "x" * 5000])
def test_a_count_that_can_be_none(server, data, count):
    (data / "test" / "nshards.txt").write_text(count)
    said = WebDataset(server.url).unavailable()
    assert "nshards.txt: expected the number of shards, at most 100,000, found '" in said
    assert len(said) < 200


def test_a_server_that_is_gone_is_told(server, pattern, monkeypatch):
    from harness.mirroring import bucket

    monkeypatch.setattr(bucket, "RETRIES", 0)
    server.http.shutdown()
    server.http.server_close()
    assert "can't be reached" in WebDataset(pattern).unavailable()


@pytest.mark.parametrize("keep", [0, 100, 512, 512 + 100, 2 * 1024, 0.5, 0.9])
def test_a_truncated_shard_is_named(data, server, pattern, keep):
    shard = data / "test" / "shard-000001.tar"
    whole = shard.read_bytes()
    end = max(m.offset + m.size for s in index_shard(shard).values() for m in s.values())
    shard.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * end)])
    with pytest.raises(DataError, match=r"shard-000001\.tar: broken tar file"):
        load("webdataset", pattern)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_shard_is_refused(data, server, pattern, kind):
    with tarfile.open(data / "test" / "shard-000001.tar", f"w:{kind}") as tar:
        tar.add(data / "classnames.txt", "a.cls")
    with pytest.raises(
        DataError, match=r"shard-000001\.tar: is compressed, so its members can't be read in place"
    ):
        load("webdataset", pattern)


def test_a_damaged_index_is_made_again(tmp_path, data, server, pattern):
    load("webdataset", pattern)
    kept = [*(tmp_path / "cache" / "shards").rglob("*.json")]
    assert len(kept) == 3
    for n, path in enumerate(kept):
        path.write_text(
            ["{", '{"version": 2, "members": [["a", "b", 3]]}', '{"version": 0, "members": []}'][n]
        )
    same(load("webdataset", pattern), load("webdataset", data))


REFUSED = {
    "pipe:curl -s http://host/x.tar": "runs a command of the shell",
    "pipe:/x.tar": "runs a command of the shell",
    "https://me:verysecret@host/x.tar": "holds a login",
    "https://host/x.tar?sig=verysecret": "may hold a key",
    "ftp://host/x.tar": "expected https://",
    "https://host/{0..x}.tar": "neither numbers",
    "https://host/{3..1}.tar": "no shards",
    "https://host/{0..99999999}.tar": "too many",
    "https://host/{0..9.tar": "brace without its partner",
}


@pytest.mark.parametrize("address", REFUSED)
@pytest.mark.parametrize("kind", [WebDataset, PairShards])
def test_addresses_that_are_refused(kind, address):
    try:
        said = kind(address).unavailable()
    except HarnessError as error:
        said = str(error)
    assert REFUSED[address] in str(said)
    assert "verysecret" not in str(said)
    assert "\n" not in str(said)


def test_no_command_runs(tmp_path, capsys):
    from harness.cli import main

    suite = tmp_path / "s.toml"
    suite.write_text(
        'name = "s"\nprotocol = "classification"\nmodels = ["tiny-clip"]\nmetrics = ["top1"]\n'
        f'datasets = ["webdataset:pipe:touch {tmp_path}/ran"]\n'
    )
    assert main(["plan", str(suite)]) == 2
    assert "runs a command of the shell, which no data set may" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


@given(st.integers(0, 999), st.integers(0, 30), st.integers(1, 6))
def test_numbers_in_braces_keep_their_width(first, count, width):
    text = f"{first:0{width}}..{first + count:0{width}}"
    found = expand_address(f"s3://b/x-{{{text}}}.tar")
    assert found[0] == f"s3://b/x-{first:0{width}}.tar"
    assert found[-1] == f"s3://b/x-{first + count:0{width}}.tar"
    assert [int(re.search(r"x-(\d+)", address)[1]) for address in found] == [*range(first, first + count + 1)]


class TestShardsAtAnAddress(testing.DatasetConformance):
    @pytest.fixture
    def dataset(self, data):  # the kit keeps it for all of its checks, so its server stays
        return harness_part("webdataset", f"{Server(data).url}/test/shard-{{000000..000002}}.tar")


class TestPairsAtAnAddress(testing.DatasetConformance):
    @pytest.fixture
    def dataset(self, data):
        return harness_part("pairs-webdataset", Server(data).url)


names = st.text(
    st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=150
)
kinds = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.AREGTYPE]
)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    members=st.lists(st.tuples(names, kinds, st.integers(0, 3000), st.booleans()), max_size=8),
    form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    least=st.sampled_from([1, 512, 5000]),
)
def test_the_index_is_what_tarfile_says(members, form, least):
    """Long names, links, pax and GNU headers: offsets, sizes and contents, whatever is asked for at once."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for n, (name, kind, size, extra) in enumerate(members):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "target" * (30 if extra else 1)
            info.size = size if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
            if extra and form == tarfile.PAX_FORMAT:
                info.pax_headers = {"comment": "ü" * 700}
            try:
                tar.addfile(info, io.BytesIO(bytes([n + 1]) * info.size))
            except ValueError:  # this format can't hold the name
                continue
    whole = file.getvalue()
    bucket = open_bucket("memory://tars")
    bucket.put("x.tar", whole)
    shard = RemoteShard(bucket, "x.tar")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote_shards, "LEAST", least)
        patch.setattr(remote_shards._RangeFile, "__init__", _starting_small(least))
        with io.BufferedReader(remote_shards._RangeFile(shard), 512) as reader:
            found = list_tar(reader, "x")
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        expected = [(i.name, i.offset_data, i.size, tar.extractfile(i).read()) for i in tar if i.isfile()]
    assert [(m.name, m.offset, m.size, shard.read(m.offset, m.size, "x")) for m in found] == expected


def _starting_small(least):
    original = remote_shards._RangeFile.__init__

    def make(self, shard):
        original(self, shard)
        self._window = least

    return make


def test_hard_links_are_the_files_that_they_stand_for(data, server, pattern):
    """As GNU tar packs a file with two names; a link to what is not there is nothing."""
    with tarfile.open(data / "test" / "1.tar", "a") as tar:
        for extension in ("png", "cls", "txt"):
            link = tarfile.TarInfo(f"dir/again.{extension}")
            link.type, link.linkname = tarfile.LNKTYPE, f"dir/s13.{extension}"
            tar.addfile(link)
        lost = tarfile.TarInfo("dir/s13.webp")
        lost.type, lost.linkname = tarfile.LNKTYPE, "dir/nowhere.webp"
        tar.addfile(lost)
    shutil.copy(data / "test" / "1.tar", data / "test" / "shard-000001.tar")
    local, remote = load("webdataset", data), load("webdataset", pattern)
    same(local, remote)
    first, again = (list(local.ids).index(f"1/dir/{key}") for key in ("s13", "again"))
    assert len(local) == 16
    assert local[again].image.data == local[first].image.data
    assert (local[again].label, local[again].text) == (local[first].label, local[first].text)


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_a_file_in_pieces_is_refused(tmp_path, form):
    with (tmp_path / "a.png").open("wb") as file:
        file.write(encoded(0))
        file.truncate(1 << 20)
    shard = tmp_path / "0.tar"
    packed = subprocess.run(
        ["tar", "-C", tmp_path, f"--format={form}", "-cSf", shard, "a.png"], capture_output=True, check=False
    )
    if packed.returncode or shard.stat().st_size > 1 << 19:
        pytest.skip("this tar or file system has no files in pieces")
    with pytest.raises(DataError, match=r"0\.tar: 'a\.png' is stored in pieces: pack it without --sparse"):
        index_shard(shard)
