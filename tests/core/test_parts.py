"""Parts of cells: identity, fingerprints, nested plugins, and what is wrong with a plugin."""

import json
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.contract.cells import Part, canonical_json
from harness.contract.data import Dataset
from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference, parse_short
from harness.errors import DataError, HarnessError, OptionError, PluginNotFound, SuiteError

WHERE = "suite s, models"


def part(kind: str, text: str, **options: Any) -> Part:
    reference = parse_short(text)
    return Resolver().resolve(
        kind, Reference(reference.plugin, {**reference.options, **options}, reference.value), WHERE
    )


def test_identity_ignores_order_and_spelled_out_defaults(toys: Any) -> None:
    plain = part("models", "toy")
    assert plain.identity == part("models", "toy", mode="good").identity
    assert plain.identity == part("models", "toy:good").identity
    assert plain.identity == part("models", "toy?bias=0.0").identity
    assert (
        part("models", "toy?bias=0.1&mode=huge").identity == part("models", "toy?mode=huge&bias=0.1").identity
    )
    assert plain.identity != part("models", "toy?bias=0.1").identity


class Remote:
    """Answers from a server, wherever that is."""

    operational = ("address", "at_once")

    def __init__(self, name: str, address: str = "", at_once: int = 1) -> None:
        self.name, self.address, self.at_once = name, address, at_once

    def load(self, device: object) -> None: ...


def test_identity_ignores_options_that_decide_no_result(toys: Any) -> None:
    harness.register("models", "remote", Remote)
    plain, moved, other = (
        part("models", text) for text in ("remote:a", "remote:a?address=there&at_once=8", "remote:b")
    )
    assert plain.identity == moved.identity
    assert "address" not in plain.identity
    assert moved.options["address"] == "there"  # it is restored elsewhere with the same options
    assert plain.identity != other.identity


def test_identity_ignores_label_and_tags(toys: Any) -> None:
    resolver = Resolver()
    one = resolver.resolve("models", Reference("toy", label="one", tags={"a": 1}), WHERE)
    two = resolver.resolve("models", Reference("toy", label="two"), WHERE)
    assert one.identity == two.identity
    assert (one.label, two.label, dict(one.tags)) == ("one", "two", {"a": 1})
    assert resolver.resolve("models", Reference("toy", label="one", tags={"a": 1}), WHERE) is one


class Filed:
    """Known by a file's content."""

    def __init__(self, path: Path, mark: str = "") -> None:
        self.path, self.mark = path, mark

    def load(self, device: object) -> None: ...

    def unavailable(self) -> str | None:
        return None if self.path.is_file() else f"{self.path} is not there"

    def fingerprint(self) -> str:
        return self.path.read_text()


def test_a_path_is_not_identity_but_the_content_is(tmp_path: Path) -> None:
    harness.register("models", "filed", Filed)
    for name, content in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(content)
    a, b, c = (part("models", f"filed:{tmp_path / n}") for n in "abc")
    assert a.identity == b.identity != c.identity
    assert str(tmp_path) not in a.identity
    assert a.options["path"] == str(tmp_path / "a")
    gone = part("models", f"filed:{tmp_path / 'gone'}")
    assert gone.missing == f"{tmp_path / 'gone'} is not there"
    assert gone.problem is None


class Wrapped:
    """A data set around another."""

    splits = ("test",)

    def __init__(self, base: Dataset, others: list[Dataset] | None = None, level: int = 1) -> None:
        self.base, self.others = base, others

    def load(self, split: str) -> Any: ...


class Named:
    def __init__(self, path: Path, names: list[str] | Path | None = None) -> None:
        self.path, self.names = path, names

    def fingerprint(self) -> str:
        return "content"


def test_names_in_an_option_that_may_be_a_file_are_identity(tmp_path: Path) -> None:
    harness.register("models", "named", Named)
    one, other, none, file, moved = (
        part("models", "named", path=str(tmp_path / place), **options).identity
        for place, options in (
            ("a", {"names": ["red", "blue"]}),
            ("b", {"names": ["blue", "red"]}),
            ("a", {}),
            ("a", {"names": str(tmp_path / "names.txt")}),
            ("b", {}),
        )
    )
    assert len({one, other, none}) == 3
    assert file == none == moved  # where something lies is not


def test_nested_references_become_objects_and_identities(toys: Any) -> None:
    harness.register("datasets", "wrapped", Wrapped)
    made = part("datasets", "wrapped:toy", others=["toy:x", {"plugin": "toy", "seed": 3}])
    assert isinstance(made.object.base, toys.Data)
    assert [o.name for o in made.object.others] == ["x", "plain"]
    nested = json.loads(made.identity)["options"]
    assert nested["base"]["plugin"] == "toy"
    assert nested["others"][1]["options"]["seed"] == 3
    assert part("datasets", "wrapped:toy?level=1").identity == part("datasets", "wrapped:toy:plain").identity
    assert part("datasets", "wrapped:toy:a").identity != part("datasets", "wrapped:toy:b").identity
    deep = part("datasets", "wrapped", base={"plugin": "wrapped", "base": "toy:z"})
    assert deep.object.base.base.name == "z"


def test_wrong_nested_references_name_the_option(toys: Any) -> None:
    harness.register("datasets", "wrapped", Wrapped)
    with pytest.raises(
        PluginNotFound, match=r"^suite s, models: data set 'wrapped': option 'base': no data set "
    ):
        part("datasets", "wrapped:toi")
    with pytest.raises(OptionError, match=r"option 'base': data set 'toy': unknown option 'sed'.*'seed'"):
        part("datasets", "wrapped", base={"plugin": "toy", "sed": 1})
    with pytest.raises(SuiteError, match=r"option 'base': expected 'plugin:value'"):
        part("datasets", "wrapped", base=3)


def test_what_the_user_wrote_wrong_is_raised_with_its_place(toys: Any) -> None:
    with pytest.raises(
        PluginNotFound, match=r"^suite s, models: no model plugin named 'toi'; did you mean 'toy'"
    ):
        part("models", "toi")
    with pytest.raises(OptionError, match=r"^suite s, models: model 'toy': unknown option 'mod'"):
        part("models", "toy?mod=1")
    with pytest.raises(SuiteError, match=r"^suite s, models: .*can't be written as JSON"):
        part("models", "toy", bias=object())


def test_a_constructor_that_refuses_in_the_harness_words_is_the_users_to_mend() -> None:
    class Picky:
        def __init__(self, n: int = 1) -> None:
            raise DataError("n must be even")

        def load(self, device: object) -> None: ...

    harness.register("models", "picky", Picky)
    with pytest.raises(DataError, match=r"^suite s, models: model 'picky': n must be even$"):
        part("models", "picky")


@pytest.mark.parametrize("method", ["__init__", "unavailable", "fingerprint"])
def test_a_plugin_that_raises_is_a_problem_of_its_part(method: str) -> None:
    def fail(self: object) -> None:
        raise KeyError("deep\ninside")

    cls = type("Failing", (), {method: fail, "load": lambda self, device: None})
    harness.register("models", "failing", cls)
    made = part("models", "failing")
    assert made.problem is not None
    assert "model 'failing' of (this process)" in made.problem
    assert "KeyError" in made.problem
    assert "\n" not in made.problem


def test_a_harness_error_at_planning_is_a_reason_to_skip() -> None:
    class Away:
        def load(self, device: object) -> None: ...

        def unavailable(self) -> str | None:
            raise HarnessError("no folder given: use --data-root")

    harness.register("models", "away", Away)
    assert part("models", "away").missing == "no folder given: use --data-root"


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (99, "is written for plugin API 99, this harness has 1: upgrade vision-harness, or use an older"),
        (
            0,
            "is written for plugin API 0, this harness needs 1 or newer: upgrade (this process), or use an older",
        ),
        ("2", "harness_api must be a whole number, such as 1, found '2'"),
        (True, "harness_api must be a whole number, such as 1, found True"),
    ],
)
def test_another_version_of_the_contract(version: object, text: str) -> None:
    cls = type("Other", (), {"harness_api": version, "load": lambda self, device: None})
    harness.register("models", "other", cls)
    assert text in str(part("models", "other").problem)


def test_canonical_is_stable_and_refuses_objects() -> None:
    assert canonical_json({"b": [1, 2.5, None, True], "a": Path("x")}) == '{"a":"x","b":[1,2.5,null,true]}'
    assert canonical_json({3, 1, 2}) == "[1,2,3]"
    assert canonical_json("é") == '"é"'
    with pytest.raises(TypeError):
        canonical_json(object())
