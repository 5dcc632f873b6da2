"""The exchange of records: nothing lost, nothing whole overwritten, contradictions told; names that leave no folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BucketError
from harness.mirroring.bucket import Bucket, open_bucket
from harness.mirroring.layout import parse_record_name, parse_suite_name, record_name, suite_name
from harness.mirroring.mirror import Mirror, fetch_into

A, B, C = "a" * 16, "b" * 16, "c" * 16
Machines = Callable[[str], Any]


def put_all(machine: Any, url: str) -> dict[str, str]:
    """What a run does at its start and end."""
    mirror = Mirror(machine.store, url)
    for name in mirror.fetch().to_put:
        mirror.put(name)
    return mirror.finish()


def names(url: str) -> set[str]:
    return {found.name for found in open_bucket(url).list()}


def test_another_machine_gets_every_file_bit_for_bit(machine: Machines, any_url: str) -> None:
    one, two = machine("one"), machine("two")
    one.record(A, evidence="ea" * 8), one.record(B, 0.25, evidence="eb" * 8), one.record(C, status="failed")
    one.plan(A, B, C)
    assert put_all(one, any_url) == {}
    assert names(any_url) == set(one.files())
    fetched = fetch_into(two.store, any_url)
    assert (fetched.taken, fetched.conflicts, fetched.to_put) == (3, [], [])
    ours, theirs = dict(two.files()), dict(one.files())
    plans = [files.pop("suites/demo.json") for files in (ours, theirs)]
    assert ours == theirs
    assert two.store.manifest("demo")["cells"] == one.store.manifest("demo")["cells"], plans
    assert two.store.find_evidence("ea" * 8) is not None


def test_the_record_is_put_last_and_written_last(machine: Machines, url: str, monkeypatch: Any) -> None:
    one = machine("one")
    one.record(A)
    seen: list[str] = []
    for method in ("put", "put_new"):
        original = getattr(Bucket, method)

        def noting(self: Bucket, name: str, content: Any, original: Any = original) -> Any:
            seen.append(name)
            return original(self, name, content)

        monkeypatch.setattr(Bucket, method, noting)
    put_all(one, url)
    assert seen[-1] == record_name(A)
    assert len(seen) == 5


def test_without_changes_only_names_are_read(machine: Machines, url: str, monkeypatch: Any) -> None:
    one, two = machine("one"), machine("two")
    one.record(A), one.plan(A)
    put_all(one, url)
    fetch_into(two.store, url)

    def never(*_: Any) -> Any:
        raise AssertionError("read again")

    monkeypatch.setattr(Bucket, "download", never)
    original = Bucket.get
    monkeypatch.setattr(
        Bucket, "get", lambda self, name: never() if "records" in name else original(self, name)
    )
    for each in (one, two):
        fetched = fetch_into(each.store, url)
        assert (fetched.taken, fetched.to_put) == (0, [])


def test_the_more_complete_record_replaces_the_other_on_either_side(machine: Machines, any_url: str) -> None:
    one, two = machine("one"), machine("two")
    one.record(A, status="failed"), one.record(B)
    two.record(A), two.record(B, failures={"ece": "no"})
    put_all(one, any_url), put_all(two, any_url), put_all(one, any_url)
    for each in (one, two):
        assert [each.store.read(id).whole for id in (A, B)] == [True, True]
    assert one.files()[record_name(A)] == two.files()[record_name(A)]
    assert put_all(one, any_url) == put_all(two, any_url) == {}


def test_other_numbers_are_a_contradiction_told_once(machine: Machines, any_url: str) -> None:
    one, two = machine("one"), machine("two")
    one.record(A), two.record(A, 0.75)
    put_all(one, any_url)
    before = open_bucket(any_url).get(record_name(A))
    mirror = Mirror(two.store, any_url)
    fetched = mirror.fetch()
    (conflict,) = fetched.conflicts
    assert str(conflict).endswith("the same cell with different numbers: top1 0.75 and 0.5")
    assert f"{any_url}/records/aa/{A}.json" in str(conflict)
    assert fetched.to_put == []
    kept = two.store.read(A)
    assert kept.metrics == {"top1": 0.75}
    (remark,) = kept.remarks
    assert "has other numbers for it (top1 0.75 and 0.5): these were kept" in remark
    assert open_bucket(any_url).get(record_name(A)) == before
    assert fetch_into(two.store, any_url).conflicts == []


def test_other_outputs_of_a_sample_are_a_contradiction_too(machine: Machines, url: str) -> None:
    one, two = machine("one"), machine("two")
    one.record(A, hits=[1.0, 0.0, 1.0, 0.5]), two.record(A, hits=[0.0, 1.0, 1.0, 0.5], started="later")
    put_all(one, url)
    (conflict,) = fetch_into(two.store, url).conflicts
    assert "top1 of sample 'a'" in conflict.what


def test_equal_numbers_of_two_machines_are_the_same(machine: Machines, any_url: str) -> None:
    one, two = machine("one"), machine("two")
    one.record(A), two.record(A, started="another day")
    put_all(one, any_url)
    before = dict(two.files())
    fetched = fetch_into(two.store, any_url)
    assert (fetched.taken, fetched.conflicts, fetched.to_put) == (0, [], [])
    assert two.files() == before


def test_what_was_run_again_here_replaces_what_the_bucket_had_from_here(
    machine: Machines, any_url: str
) -> None:
    one = machine("one")
    one.record(A)
    put_all(one, any_url)
    one.record(A, 0.9, started="later")
    mirror = Mirror(one.store, any_url)
    mirror.put(record_name(A))
    assert (mirror.finish(), mirror.told) == ({}, [])
    assert open_bucket(any_url).get(record_name(A))[0] == one.files()[record_name(A)]


def test_of_two_who_put_the_same_cell_at_once_one_stays_and_the_other_says_so(
    machine: Machines, any_url: str
) -> None:
    one, two = machine("one"), machine("two")
    mirrors = [Mirror(each.store, any_url) for each in (one, two)]
    for mirror in mirrors:
        mirror.fetch()
    one.record(A), two.record(A, 0.75)
    for mirror in mirrors:
        mirror.put(record_name(A))
        assert mirror.finish() == {}
    assert (len(mirrors[0].told), len(mirrors[1].told)) == (0, 1)
    assert open_bucket(any_url).get(record_name(A))[0] == one.files()[record_name(A)]
    for kind in ("samples", "curves"):
        name = f"{kind}/aa/{A}.parquet"
        assert open_bucket(any_url).get(name)[0] == one.files()[name]


def test_what_a_killed_run_put_before_its_record_is_replaced(machine: Machines, url: str) -> None:
    one = machine("one")
    open_bucket(url).put(f"samples/aa/{A}.parquet", b"of another time")
    one.record(A)
    put_all(one, url)
    assert open_bucket(url).get(f"samples/aa/{A}.parquet")[0] == one.files()[f"samples/aa/{A}.parquet"]


def test_a_newer_harness_keeps_its_records_on_both_sides(machine: Machines, any_url: str) -> None:
    one, two, three = machine("one"), machine("two"), machine("three")
    one.record(A), two.record(A)
    path = one.store.file("records", A, ".json")
    path.write_bytes(path.read_bytes().replace(b'"schema": ', b'"schema": 9'))
    newer = path.read_bytes()
    put_all(one, any_url)
    before = two.files()[record_name(A)]
    fetched = fetch_into(two.store, any_url)
    assert "newer harness" in fetched.notes[0]
    assert put_all(two, any_url) == {}
    assert two.files()[record_name(A)] == before
    assert open_bucket(any_url).get(record_name(A))[0] == newer
    assert fetch_into(three.store, any_url).taken == 1
    assert three.files()[record_name(A)] == newer
    assert A in three.store.done()


def test_a_damaged_record_there_is_told_and_replaced_by_a_sound_one(machine: Machines, url: str) -> None:
    one, two = machine("one"), machine("two")
    open_bucket(url).put(record_name(A), b"{")
    fetched = fetch_into(two.store, url)
    assert "not a record" in fetched.notes[0]
    assert two.store.listing() == {}
    one.record(A)
    put_all(one, url)
    assert fetch_into(two.store, url).taken == 1


def test_a_record_under_the_id_of_another_is_not_fetched(machine: Machines, url: str) -> None:
    one, two = machine("one"), machine("two")
    one.record(A)
    open_bucket(url).put(record_name(B), one.files()[record_name(A)])
    fetched = fetch_into(two.store, url)
    assert f"holds the record of another id, {A}" in fetched.notes[0]
    assert two.store.listing() == {}


def test_plans_are_united_and_a_whole_one_replaces(machine: Machines, any_url: str) -> None:
    one, two = machine("one"), machine("two")
    one.plan(A), two.plan(B)
    put_all(one, any_url), put_all(two, any_url), put_all(one, any_url)
    for each in (one, two):
        assert {cell["id"] for cell in each.store.manifest("demo")["cells"]} == {A, B}
    one.plan(A, C)  # as a run of the whole suite writes it, without B
    assert put_all(one, any_url) == {}
    assert fetch_into(machine("three").store, any_url).conflicts == []
    assert {cell["id"] for cell in machine("three").store.manifest("demo")["cells"]} == {A, C}


STRANGE = ["records/../x.json", f"records/aa/../../{A}.json", f"/records/aa/{A}.json", f"records/ab/{A}.json",
           f"records/aa/{A}.JSON", "records/aa/x.json", f"records/aa/{A}.json/y", "suites/.json", "suites/../x.json",
           "suites/a/b.json", f"records\\aa\\{A}.json", ""]  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_name_is_nobodys(name: str) -> None:
    assert parse_record_name(name) is None
    assert parse_suite_name(name) is None


@given(st.text("0123456789abcdefg./\\%\0:~ @AB-", max_size=40))
def test_names_are_read_only_as_they_are_written(text: str) -> None:
    for name in (text, f"records/{text}", f"suites/{text}", f"records/{text[:2]}/{text}.json"):
        id, suite = parse_record_name(name), parse_suite_name(name)
        assert id is None or (record_name(id) == name and ".." not in name)
        assert suite is None or (suite_name(suite) == name and "/" not in suite and not suite.startswith("."))


def test_strange_objects_stay_where_they_are_and_are_told_once(
    machine: Machines, url: str, boto: Any, caplog: Any, tmp_path: Any
) -> None:
    one = machine("one")
    bucket, folder = url.removeprefix("s3://").split("/", 1)
    keys = [
        "records/zz/x.json",
        f"records/aa/{A}.json.exe",
        "suites/%2e%2e.json",
        "logs/anything",
        "../outside",
    ]
    for key in keys:
        boto.put_object(Bucket=bucket, Key=f"{folder}/{key}", Body=b"evil")
    for _ in range(2):
        assert fetch_into(one.store, url).taken == 0
    warned = [r.getMessage() for r in caplog.records]
    assert len(warned) == 2
    assert f"{url}: 2 objects below records/ are none of a store's and stay there" in warned[0]
    assert [p for p in tmp_path.rglob("*") if p.is_file() and p.parent.name != "mirrors"] == []


def test_images_with_strange_names_are_not_fetched(machine: Machines, url: str, boto: Any) -> None:
    one, two = machine("one"), machine("two")
    one.record(A)
    put_all(one, url)
    bucket, folder = url.removeprefix("s3://").split("/", 1)
    for name in (".hidden.png", "x.exe", "deep/er.png", "a b.png"):
        boto.put_object(Bucket=bucket, Key=f"{folder}/images/aa/{A}/{name}", Body=b"evil")
    fetch_into(two.store, url)
    assert two.files() == one.files()


def test_an_impossible_name_is_named_in_one_line(machine: Machines, url: str, boto: Any) -> None:
    bucket, folder = url.removeprefix("s3://").split("/", 1)
    boto.put_object(Bucket=bucket, Key=f"{folder}/records/../../x", Body=b"evil")
    with pytest.raises(BucketError, match="invalid path") as raised:
        fetch_into(machine("one").store, url)
    assert "\n" not in str(raised.value)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Breaks the network for one method of buckets."""

    def fails(method: str) -> None:
        def fail(*_: Any, **__: Any) -> Any:
            raise BucketError("s3://x: can't be reached: check the network")

        monkeypatch.setattr(Bucket, method, fail)

    yield fails
    monkeypatch.undo()


def test_what_could_not_be_put_is_named_and_put_the_next_time(
    machine: Machines, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine("one")
    ids = [f"{n:016x}" for n in range(5)]
    for id in ids:
        one.record(id, evidence=id)
    mirror = Mirror(one.store, url)
    fetched = mirror.fetch()
    with monkeypatch.context() as patch:

        def fail(*_: Any) -> Any:
            raise BucketError(f"{url}: access is refused (AccessDenied)")

        patch.setattr(Bucket, "put_new", fail)
        for name in fetched.to_put:
            mirror.put(name)
        left = mirror.finish()
    assert set(left) == {record_name(id) for id in ids}
    assert set(left.values()) == {f"{url}: access is refused (AccessDenied)"}
    assert names(url) == set()
    assert put_all(one, url) == {}
    assert names(url) == set(one.files())


def test_one_record_that_fails_does_not_stop_the_others(
    machine: Machines, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine("one")
    one.record(A, evidence="ea" * 8), one.record(B, evidence="eb" * 8)
    original = Bucket.put_new

    def fail(self: Bucket, name: str, content: Any) -> Any:
        if A in name:
            raise BucketError(f"{url}: answers 500 Internal Server Error")
        return original(self, name, content)

    monkeypatch.setattr(Bucket, "put_new", fail)
    assert set(put_all(one, url)) == {record_name(A)}
    assert record_name(B) in names(url)


def test_a_download_that_ends_early_leaves_nothing(machine: Machines, url: str, monkeypatch: Any) -> None:
    one, two = machine("one"), machine("two")
    one.record(A)
    put_all(one, url)
    original = Bucket.download

    def fail(self: Bucket, name: str, path: Any) -> Any:
        if name.startswith("images"):
            raise BucketError(f"{url}: can't be reached")
        return original(self, name, path)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "download", fail)
        with pytest.raises(BucketError):
            fetch_into(two.store, url)
    assert two.store.listing() == {}
    assert fetch_into(two.store, url).taken == 1
    assert two.files() == one.files()
