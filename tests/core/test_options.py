"""Options checked against signatures: unknown, wrong, missing, nested, paths, odd annotations."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from harness.contract.data import Dataset
from harness.contract.models import Model
from harness.discovery.options import check_options, read_options
from harness.errors import OptionError

if TYPE_CHECKING:
    from nowhere import Unknown


def plugin(
    name: str,
    size: int = 224,
    rate: float = 1,
    kind: Literal["soft", "hard"] = "soft",
    root: Path | None = None,
    files: list[Path] | None = None,
    names: list[str] | None = None,
    flag: bool = False,
) -> None:
    """A factory with the usual annotations, all of them text."""


class Nested:
    def __init__(
        self, base: Dataset, others: list[Dataset] | None = None, teacher: Model | None = None
    ) -> None:
        self.base = base


def odd(thing: Unknown = None, size: int = None, free=3) -> None:  # type: ignore[assignment,no-untyped-def]  # noqa: RUF013
    """Annotations that can't be resolved, or that their own default breaks."""


def anything(size: int = 1, **options: Any) -> None:
    """Takes any other option."""


def option(factory: Any, name: str) -> Any:
    return next(o for o in read_options(factory)[0] if o.name == name)


def test_defaults_are_filled_in_and_the_value_is_the_first_option() -> None:
    checked = check_options(plugin, {}, "r18", "here")
    assert checked["name"] == "r18"
    assert checked["size"] == 224
    assert list(checked) == list(inspect.signature(plugin).parameters)


@pytest.mark.parametrize(
    ("given", "value", "words"),
    [
        ({"sise": 1}, "x", "unknown option 'sise'; did you mean 'size'\\?"),
        ({"qqqqq": 1}, "x", "unknown option 'qqqqq'; known: files, "),
        ({}, None, "needs the option 'name' \\(str\\)"),
        ({"name": "y"}, "x", "'name' is given twice, after the colon and as an option"),
        ({"size": "big"}, "x", "option 'size' must be int, found 'big'"),
        ({"size": 1.5}, "x", "option 'size' must be int, found 1.5"),
        ({"names": "abc"}, "x", "option 'names' must be list\\[str\\] | None, found 'abc'"),
        ({"flag": "maybe"}, "x", "option 'flag' must be bool"),
        ({"root": 3}, "x", "option 'root' must be Path | None, found 3"),
        ({"kind": "hart"}, "x", "option 'kind' must be .*found 'hart'; did you mean 'hard'\\?"),
        ({"name": 3}, None, "option 'name' must be str, found 3"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], value: str | None, words: str) -> None:
    with pytest.raises(OptionError, match=f"^here: {words}") as caught:
        check_options(plugin, given, value, "here")
    assert "\n" not in str(caught.value)


def test_values_are_converted() -> None:
    checked = check_options(plugin, {"size": "32", "root": "/a/b", "files": ["x"], "rate": 2}, "x", "here")
    assert checked["size"] == 32
    assert checked["root"] == Path("/a/b")
    assert checked["files"] == [Path("x")]
    assert isinstance(checked["rate"], float)


@pytest.mark.parametrize("spelled", [1, 1.0, "1"])
def test_a_default_spelled_out_is_the_default(spelled: object) -> None:
    written = check_options(plugin, {"rate": spelled}, "x", "here")["rate"]
    assert repr(written) == repr(check_options(plugin, {}, "x", "here")["rate"])


def test_equal_but_of_another_type_is_not_the_default() -> None:
    def either(x: int | bool = 1) -> None: ...

    assert check_options(either, {"x": True}, None, "here")["x"] is True


def test_nothing_can_follow_the_colon_without_options() -> None:
    def none() -> None: ...

    with pytest.raises(
        OptionError, match="takes no options, so nothing can follow the colon \\(found 'x'\\)"
    ):
        check_options(none, {}, "x", "here")
    with pytest.raises(OptionError, match="unknown option 'a'; it takes no options"):
        check_options(none, {"a": 1}, None, "here")


def test_paths_and_nested_references_are_recognised() -> None:
    assert [o.name for o in read_options(plugin)[0] if o.is_path] == ["root", "files"]
    assert {o.name: o.nested for o in read_options(Nested)[0]} == {
        "base": "datasets",
        "others": "datasets",
        "teacher": "models",
    }
    given = {"base": "digits", "others": [{"plugin": "x"}]}
    assert check_options(Nested, given, None, "here") == {**given, "teacher": None}


def test_annotations_that_can_not_be_resolved_are_unchecked() -> None:
    assert check_options(odd, {"thing": object, "size": 3, "free": "x"}, None, "here") == {
        "thing": object,
        "size": 3,
        "free": "x",
    }
    assert option(odd, "thing").type_name == "anything"
    with pytest.raises(OptionError, match="'size' must be int"):
        check_options(odd, {"size": "x"}, None, "here")


def test_a_default_against_its_own_annotation_may_be_spelled_out() -> None:
    assert check_options(odd, {"size": None}, None, "here")["size"] is None


def test_open_ended_factories_take_everything() -> None:
    assert read_options(anything)[1]
    assert check_options(anything, {"new": [1]}, None, "here") == {"size": 1, "new": [1]}


def test_a_signature_that_can_not_be_read_is_an_option_error() -> None:
    with pytest.raises(OptionError, match=r"here: .*signature"):
        check_options(type, {}, None, "here")
