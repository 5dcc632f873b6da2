"""`harness info`: what it says of plugins of each kind, and that its example can be pasted."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.discovery import docstrings, registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references
from harness.planning.descriptions import describe_plugin

CODE = '''
from pathlib import Path
from typing import Literal
from harness import Dataset, Predictions, hookimpl

class Base:
    """A base.

    Args:
        seed: of the weights.
    """
    def load(self, device): ...

class Net(Base):
    """A network.

    It has two lines.

    Args:
        width, depth: sizes,
            in channels and blocks.
        side: the image's.
    """
    label_space = "digits"
    def __init__(self, width: int = 3, depth: int = 2, side: Literal["small", "large"] = "small",
                 seed: int = 0, free=None): ...
    def prepare(self, image): ...
    def classify(self, images): ...

class Shifted:
    """Another one, shifted."""
    splits = ("val", "test")
    label_space = "digits"
    def __init__(self, dataset: Dataset, others: list[Dataset] | None = None, path: Path = Path("x")): ...
    def load(self, split): ...

class Sharp:
    """A number."""
    higher_is_better = False
    bounds = (0.0, 2.0)
    def per_sample(self, predictions): ...
    def __call__(self, predictions: Predictions) -> float: ...

class Tune:
    """A way to run."""
    axes = ("shots",)
    provides = (Predictions,)
    needs_method = True
    smallest = {"steps": 2, "cell": {"datasets": ["digits"]}}
    def __init__(self, steps: int | None = None): ...
    def run(self, job): ...

class Loud:
    """A listener."""
    on_request = True
    @hookimpl
    def run_finished(self, records): ...

def any_net(name: str, **options: int) -> Net:
    """A factory."""
    return Net()
'''


@pytest.fixture
def facts(install: Callable[..., Path]) -> Callable[[str, str], dict[str, Any]]:
    """Describes a plugin of a distribution installed for this test."""
    targets = {
        "models": {"i-net": "info_code:Net", "i-any": "info_code:any_net"},
        "datasets": {"i-shifted": "info_code:Shifted"},
        "metrics": {"i-sharp": "info_code:Sharp"},
        "protocols": {"i-tune": "info_code:Tune"},
        "hooks": {"i-loud": "info_code:Loud"},
    }
    install("informed", {f"harness.{k}": v for k, v in targets.items()}, {"info_code": CODE}, version="3.1")
    return lambda kind, name: describe_plugin(registry.find(kind, name))


def test_options_have_types_defaults_and_what_they_mean(facts: Callable[[str, str], dict[str, Any]]) -> None:
    net = facts("models", "i-net")
    assert (net["distribution"], net["version"], net["target"]) == ("informed", "3.1", "info_code:Net")
    assert net["documentation"] == "A network.\n\nIt has two lines."
    assert [(o["name"], o["type"], o["default"], o["documentation"]) for o in net["options"]] == [
        ("width", "int", 3, "sizes, in channels and blocks."),
        ("depth", "int", 2, "sizes, in channels and blocks."),
        ("side", "'small' | 'large'", "small", "the image's."),
        ("seed", "int", 0, "of the weights."),
        ("free", "anything", None, ""),
    ]
    assert net["capabilities"] == ["classifies images"]
    assert net["example"] == 'models = [{ plugin = "i-net", width = 3 }]'


def test_factories_and_open_ends(facts: Callable[[str, str], dict[str, Any]]) -> None:
    net = facts("models", "i-any")
    assert [(o["name"], o["type"], o["required"]) for o in net["options"]] == [
        ("name", "str", True),
        ("**", "any other option", False),
    ]
    assert net["capabilities"] == ["classifies images"]
    assert net["example"] == 'models = [{ plugin = "i-any", name = "…" }]'


@pytest.mark.parametrize(
    ("kind", "name", "able", "example"),
    [
        (
            "datasets",
            "i-shifted",
            ["splits val, test", "label space digits"],
            'datasets = [{ plugin = "i-shifted", dataset = "…" }]',
        ),
        (
            "metrics",
            "i-sharp",
            ["reads Predictions", "lower is better", "from 0 to 2", "a value per sample"],
            'metrics = ["i-sharp"]',
        ),
        (
            "protocols",
            "i-tune",
            ["axes shots", "provides Predictions", "needs a method"],
            'protocol = { plugin = "i-tune", steps = 2 }',
        ),
        ("hooks", "i-loud", ["hears run_finished"], "harness run SUITE --listen i-loud"),
    ],
)  # fmt: skip
def test_each_kind_says_what_it_can(
    facts: Callable[[str, str], dict[str, Any]], kind: str, name: str, able: list[str], example: str
) -> None:
    told = facts(kind, name)
    assert told["capabilities"] == able
    assert told["example"] == example


def test_references_to_other_plugins_are_of_their_kind(facts: Callable[[str, str], dict[str, Any]]) -> None:
    types = {o["name"]: o["type"] for o in facts("datasets", "i-shifted")["options"]}
    assert types == {"dataset": "data set", "others": "list[data set] | None", "path": "Path"}


def test_the_text_for_people(
    facts: Callable[[str, str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "i-net"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "i-net (model) from informed 3.1"
    assert "  can: classifies images" in lines
    assert "    side   'small' | 'large', default \"small\"" in lines
    assert "             the image's." in lines
    assert lines[-1] == '  models = [{ plugin = "i-net", width = 3 }]'


INSTALLED = [
    p for kind in registry.KINDS for p in registry.installed(kind) if p.distribution == "vision-harness"
]


@pytest.mark.parametrize("plugin", INSTALLED, ids=lambda p: f"{p.kind}-{p.name}")
def test_every_first_party_plugin_is_described_and_its_example_holds(plugin: registry.Plugin) -> None:
    told = describe_plugin(plugin)
    assert (told["documentation"] + told.get("title", "")).strip(), "a docstring, or a title"
    example = told["example"]
    if plugin.kind in ("suites", "hooks", "importers", "published"):
        commands = {"importers": "harness import ", "published": "harness table --add-published "}
        assert example.startswith(commands.get(plugin.kind, "harness run "))
        return
    ((key, value),) = tomllib.loads(example).items()
    assert all(o["type"] != "anything" for o in told["options"]), "options without a type"
    if plugin.kind == "executors":
        assert (key, value) == ("executor", plugin.name)
    elif plugin.kind == "plots":
        assert value[0]["kind"] == plugin.name
    elif "…" not in example:
        entry = (
            value[0]["summary"] if plugin.kind == "summaries" else value if key == "protocol" else value[0]
        )
        (reference,) = parse_references(entry, "example")
        part = Resolver().resolve(plugin.kind, reference, "example")
        assert part.problem is None


def test_docstrings_in_two_parts() -> None:
    text = """Does it.

    More of it.

    Args:
        one (int): the first: with a colon.
        two, three: both,
            on two lines.
        *rest: others.

    Returns: nothing.
    """
    rest, told = docstrings.split_arguments(text)
    assert rest == "Does it.\n\nMore of it.\n\nReturns: nothing."
    assert told == {
        "one": "the first: with a colon.",
        "two": "both, on two lines.",
        "three": "both, on two lines.",
        "rest": "others.",
    }
    assert docstrings.split_arguments(None) == ("", {})


ODD = '''
from __future__ import annotations
from typing import TYPE_CHECKING
from harness import Predictions
if TYPE_CHECKING:
    import torch

class Net:
    def load(self, device): ...
    def encode_text(self, texts): ...

def net(device: torch.device | None = None) -> Net: ...

class Open:
    """From zero on."""
    higher_is_better = True
    bounds = (0.0, None)
    def __call__(self, predictions: Predictions) -> float: ...
'''


def test_names_known_to_type_checkers_only_and_odd_bounds_are_no_obstacle(
    install: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        "odd",
        {"harness.models": {"odd-net": "odd:net"}, "harness.metrics": {"odd-open": "odd:Open"}},
        {"odd": ODD},
    )
    assert main(["info", "odd-net"]) == 0
    assert "can: encodes texts" in capsys.readouterr().out
    assert main(["info", "odd-open"]) == 0
    assert "facts: reads Predictions, higher is better\n" in capsys.readouterr().out


def test_one_of_two_suites_of_a_name(
    install: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        package = install(f"dist-{name}", {"harness.suites": {"both": f"suites_{name}"}}) / f"suites_{name}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "both.toml").write_text(f'name = "both"\ntitle = "That of {name}"\n')
    assert main(["info", "dist-two/both"]) == 0
    assert "That of two" in capsys.readouterr().out
    assert main(["info", "both"]) == 2
    assert "claimed twice" in capsys.readouterr().err
