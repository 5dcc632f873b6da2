"""Buckets: what a put promises, in each kind of place; one line without a key for each way to fail; addresses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BucketError, HarnessError, OptionError, Unavailable
from harness.mirroring import bucket as buckets
from harness.mirroring.addresses import READABLE, check_address, find_remote
from harness.mirroring.bucket import open_bucket


def test_objects_appear_whole_and_once(any_url: str, tmp_path: Path) -> None:
    bucket = open_bucket(any_url)
    (tmp_path / "one").write_bytes(b"one")
    tag = bucket.put_new("a/b", tmp_path / "one")
    assert tag is not None
    assert bucket.put_new("a/b", b"two") is None
    assert bucket.get("a/b") == (b"one", tag)
    found = bucket.head("a/b")
    assert found is not None
    assert (found.size, found.tag) == (3, tag)
    assert [f.tag for f in bucket.list("a")] == [tag]
    assert bucket.get_range("a/b", 1, 100) == (b"ne", tag)
    assert bucket.download("a/b", tmp_path / "deep" / "two") == tag
    assert (tmp_path / "deep" / "two").read_bytes() == b"one"
    bucket.delete("a/b")
    bucket.delete("a/b")
    assert bucket.get("a/b") is bucket.head("a/b") is bucket.get_range("a/b", 0, 1) is None
    assert bucket.download("a/b", tmp_path / "three") is None
    assert not (tmp_path / "three").exists()


def test_only_the_state_that_was_seen_is_replaced(url: str, tmp_path: Path) -> None:
    for address in (url, "memory://order", f"file://{tmp_path}/order"):
        bucket = open_bucket(address)
        first = bucket.put("a", b"1")
        second = bucket.put_over("a", b"2", first)
        assert second not in (None, first)
        assert bucket.put_over("a", b"3", first) is None
        assert bucket.put_over("absent", b"3", first) is None
        assert bucket.get("a") == (b"2", second)


def test_a_large_file_is_put_whole(any_url: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 50_000
    (tmp_path / "large").write_bytes(content)
    bucket = open_bucket(any_url)
    bucket.put("a", tmp_path / "large")
    assert bucket.put_new("b", tmp_path / "large") is not None
    for name in ("a", "b"):
        bucket.download(name, tmp_path / name)
        assert (tmp_path / name).read_bytes() == content


def test_faults_of_the_disk_are_not_the_buckets(any_url: str, tmp_path: Path) -> None:
    bucket = open_bucket(any_url)
    bucket.put("a", b"1")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        bucket.download("a", tmp_path / "file" / "below")
    for put in (bucket.put, bucket.put_new):
        with pytest.raises(FileNotFoundError):
            put("b", tmp_path / "absent")
    assert bucket.get("b") is None


def every_call(url: str, tmp_path: Path) -> dict[str, Callable[[], object]]:
    bucket = open_bucket(url)
    return {
        "list": lambda: list(bucket.list()),
        "get": lambda: bucket.get("a"),
        "head": lambda: bucket.head("a"),
        "range": lambda: bucket.get_range("a", 0, 3),
        "download": lambda: bucket.download("a", tmp_path / "a"),
        "put": lambda: bucket.put("a", b"1"),
        "put_new": lambda: bucket.put_new("a", b"1"),
        "put_over": lambda: bucket.put_over("a", b"1", "0"),
    }


def said(call: Callable[[], object]) -> str:
    with pytest.raises(BucketError) as raised:
        call()
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 300
    assert "AKIAPUBLIC" not in text
    assert "verysecret" not in text
    return text


def test_a_missing_bucket_is_named(boto: Any, tmp_path: Path) -> None:
    for name, call in every_call("s3://no-such-bucket/x", tmp_path).items():
        if name != "head":  # an answer without a body does not tell what is missing
            assert (
                said(call)
                == "s3://no-such-bucket/x: there is no such bucket: make it first, or check the name"
            )


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"),
        (403, "InvalidAccessKeyId"),
        (401, "Unauthorized"),
        (403, "SignatureDoesNotMatch"),
    ],
)
def test_refused_access_is_told(answering: Any, tmp_path: Path, status: int, code: str) -> None:
    url = answering(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>")
    for call in every_call(url, tmp_path).values():
        text = said(call)
        assert text.startswith(f"{url}: access is refused")
        assert text.endswith(": check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")


def test_a_lost_network_is_told(answering: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(buckets, "RETRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPUBLIC")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    for call in every_call("s3://bucket/x", tmp_path).values():
        assert (
            said(call) == "s3://bucket/x: can't be reached after 2 tries: check the network and the address"
        )


def test_a_server_that_fails_is_told(answering: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(buckets, "RETRIES", 1)
    url = answering(503, "<Error><Code>SlowDown</Code></Error>")
    for call in every_call(url, tmp_path).values():
        assert said(call) == f"{url}: answers 503 Service Unavailable"


def test_missing_keys_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BucketError, match=r"no keys for it: set AZURE_STORAGE_ACCOUNT_NAME and"):
        open_bucket("az://container/x")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(Unavailable, match=r"pip install 'vision-harness\[remote\]'"):
        open_bucket("s3://bucket/x")


def test_a_folder_is_made_but_not_what_it_should_lie_in(tmp_path: Path) -> None:
    open_bucket(f"file://{tmp_path}/new").put("a", b"1")
    assert (tmp_path / "new" / "a").read_bytes() == b"1"
    with pytest.raises(BucketError, match=r"no folder .*absent"):
        open_bucket(f"file://{tmp_path}/absent/new")


WRONG = {
    "s3://AKIAPUBLIC:verysecret@bucket/x": "--remote s3://bucket/x: holds a login.*set AWS_ACCESS_KEY_ID",
    "s3://AKIAPUBLIC@bucket/x": "holds a login",
    "s3://AKIAPUBLIC:half/verysecret@bucket/x": "--remote s3://…: holds a login",
    "https://AKIAPUBLIC:half/verysecret@host/x": "expected s3://",
    "s3://bucket/x?X-Amz-Signature=verysecret": "may hold a key",
    "s3://bucket/x#verysecret": "may hold a key",
    "s4://bucket/x": "did you mean 's3'",
    "https://host/x": "expected s3://…/folder",
    "bucket/x": "expected s3://…/folder",
    "s3:///x": "names no bucket",
    "file://host/x": "expected file:///",
    "file:///": "expected file:///",
    "": "expected s3://",
}  # fmt: skip


@pytest.mark.parametrize("address", WRONG)
def test_wrong_addresses_are_refused_in_one_line_without_what_may_be_a_key(address: str) -> None:
    with pytest.raises(OptionError) as raised:
        find_remote(address)
    text = str(raised.value)
    assert re.search(WRONG[address], text)
    assert "verysecret" not in text
    assert "AKIAPUBLIC" not in text
    assert "\n" not in text


def test_the_environment_names_the_bucket_unless_the_command_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_remote(None) is None
    monkeypatch.setenv("HARNESS_REMOTE", "s3://one/x/")
    assert find_remote(None) == "s3://one/x"
    assert find_remote("gs://two") == "gs://two"
    monkeypatch.setenv("HARNESS_REMOTE", "nonsense")
    with pytest.raises(HarnessError, match=r"^HARNESS_REMOTE: nonsense: expected"):
        find_remote(None)
    for web in ("https://host/x", "http://host:8000/x", "http://[::1]:8000/x", "http://[::1]/x"):
        assert check_address(web, "path", READABLE) == web


@pytest.mark.parametrize(
    "place",
    [
        "https://public.s3.eu-central-1.amazonaws.com",
        "https://s3.amazonaws.com",
        "https://account.blob.core.windows.net",
        "https://account.r2.cloudflarestorage.com",
    ],
)
def test_a_web_address_needs_no_keys_whoever_has_the_server(place: str) -> None:
    from obstore.store import HTTPStore

    assert isinstance(open_bucket(place)._store, HTTPStore)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
def test_a_fork_is_refused_and_does_not_die(url: str) -> None:
    """obstore's threads are missing in a fork: a request there ends the process."""
    script = f"""
import os
from harness.mirroring.bucket import open_bucket
open_bucket({url!r}).put("a", b"1")
if os.fork() == 0:
    try:
        open_bucket({url + "/other"!r}).get("a")
    except Exception as error:
        os.write(1, str(error).encode())
    os._exit(0)
print(os.wait()[1])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == (
        f"{url}/other: this process was forked from one that uses it: start processes with 'spawn' instead0\n"
    ), done.stderr
