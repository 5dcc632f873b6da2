"""Finding plugins: listing imports nothing, conflicts, broken plugins, duplicates on the path."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.discovery import registry
from harness.errors import PluginBroken, PluginNotFound

Install = Callable[..., Path]
FINE = "class Net:\n    def load(self, device): ...\n\n\nclass Inner:\n    Deep = Net\n"


def names(kind: str, distribution: str) -> list[str]:
    return [p.name for p in registry.installed(kind) if p.distribution == distribution]


def test_listing_reads_metadata_and_imports_nothing(install: Install) -> None:
    install(
        "third-party",
        {
            "harness.models": {"their-net": "their_code:Net"},
            "harness.datasets": {"their-data": "their_code:D"},
        },
        {"their_code": "raise RuntimeError('imported')\n"},
        version="3.4",
    )
    (plugin,) = (p for p in registry.installed("models") if p.name == "their-net")
    assert (plugin.distribution, plugin.version, plugin.target) == ("third-party", "3.4", "their_code:Net")
    assert names("datasets", "third-party") == ["their-data"]
    assert "their_code" not in sys.modules
    assert registry.find("models", "their-net") == plugin


def test_load_imports_class_and_nested_attribute(install: Install) -> None:
    install(
        "third", {"harness.models": {"n": "fine_code:Net", "d": "fine_code:Inner.Deep"}}, {"fine_code": FINE}
    )
    assert registry.load(registry.find("models", "n")).__name__ == "Net"
    assert registry.load(registry.find("models", "d")).__name__ == "Net"


def test_name_conflict_names_both_and_a_prefix_picks(install: Install) -> None:
    install("one-dist", {"harness.models": {"same": "code_one:Net"}}, {"code_one": FINE})
    install("two-dist", {"harness.models": {"same": "code_two:Net"}}, {"code_two": FINE})
    with pytest.raises(PluginNotFound, match=r"'same' is claimed twice: say .*/same' or .*/same'") as caught:
        registry.find("models", "same")
    assert "one-dist/same" in str(caught.value)
    assert "two-dist/same" in str(caught.value)
    assert registry.find("models", "two-dist/same").target == "code_two:Net"
    assert registry.find("models", "ONE_dist/same").target == "code_one:Net"
    assert [sorted(p.distribution for p in c) for c in registry.list_plugin_conflicts()] == [
        ["one-dist", "two-dist"]
    ]
    with pytest.raises(
        PluginNotFound, match="no distribution 'third' offers the model 'same'; it comes from one-"
    ):
        registry.find("models", "third/same")


def test_one_name_in_two_kinds_is_no_conflict(install: Install) -> None:
    install("one-dist", {"harness.models": {"same": "a:A"}, "harness.datasets": {"same": "a:A"}})
    assert registry.find("models", "same").kind == "models"
    assert registry.find("datasets", "same").kind == "datasets"


def test_unknown_name_has_the_nearest(install: Install) -> None:
    install("one-dist", {"harness.hooks": {"wandb": "a:A"}})
    with pytest.raises(PluginNotFound, match="no listener plugin named 'wandd'; did you mean 'wandb'\\?"):
        registry.find("hooks", "wandd")


def test_broken_plugin_is_kept_and_leaves_others_alone(install: Install) -> None:
    install(
        "half-broken",
        {"harness.models": {"bad": "bad_code:Net", "lost": "ok_code:Missing", "good": "ok_code:Net"}},
        {"bad_code": "import a_module_nobody_has\n", "ok_code": FINE},
    )
    for _ in range(2):  # the second time from what was kept
        with pytest.raises(
            PluginBroken, match=r"model 'bad' of half-broken 1.0 can't be imported: ModuleNotFound"
        ):
            registry.load(registry.find("models", "bad"))
    with pytest.raises(PluginBroken, match=r"'lost' of half-broken .*AttributeError"):
        registry.load(registry.find("models", "lost"))
    assert registry.load(registry.find("models", "good")).__name__ == "Net"
    kept = {b.plugin.name: b for b in registry.broken()}
    assert set(kept) == {"bad", "lost"}
    assert "a_module_nobody_has" in kept["bad"].trace
    assert "Traceback" in kept["bad"].trace


def test_module_that_exits_is_only_broken(install: Install) -> None:
    install(
        "leaver",
        {"harness.models": {"exit": "leaving:X"}},
        {"leaving": "import sys\nsys.exit('need more')\n"},
    )
    with pytest.raises(PluginBroken, match="SystemExit: need more"):
        registry.load(registry.find("models", "exit"))


def test_first_on_the_path_counts_once(install: Install) -> None:
    install("some.dist", {"harness.models": {"x": "later:X"}}, version="1.0", folder="later")
    install("Some-Dist", {"harness.models": {"x": "first:X"}}, version="2.0", folder="first")
    assert registry.find("models", "x").version == "2.0"
    assert registry.list_plugin_conflicts() == []


@pytest.mark.parametrize(
    ("entry_points", "metadata"),
    [
        ("[harness.models]\nno equals sign here\n", None),
        ("[harness.models]\nx = a:A\n", "Metadata-Version: 2.1\n"),
    ],
)
def test_unreadable_metadata_takes_no_one_down(
    install: Install, entry_points: str, metadata: str | None
) -> None:
    install("good", {"harness.models": {"fine": "f:F"}})
    install("torn", entry_points, metadata=metadata)
    assert registry.find("models", "fine").distribution == "good"
    (kept,) = registry.broken()
    assert "torn-1.0.dist-info" in kept.reason


def test_registered_wins_over_installed_and_unknown_groups_are_left_alone(install: Install) -> None:
    install(
        "one-dist", {"harness.models": {"net": "a:A"}, "harness.nothing": {"x": "a:A"}, "other": {"y": "a"}}
    )

    class Mine:
        pass

    harness.register("models", "net", Mine)
    plugin = registry.find("models", "net")
    assert plugin.distribution == "(this process)"
    assert registry.load(plugin) is Mine


def test_refresh_sees_what_was_installed_meanwhile(install: Install) -> None:
    with pytest.raises(PluginNotFound):
        registry.find("models", "late-net")
    install("late", {"harness.models": {"late-net": "a:A"}})
    assert registry.find("models", "late-net").distribution == "late"


def test_listing_is_sorted(install: Install) -> None:
    install("zz", {"harness.plots": {"b": "m:X", "a": "m:X"}})
    install("aa", {"harness.plots": {"b": "m:X"}})
    found = [(p.name, p.distribution) for p in registry.installed("plots")]
    assert found == sorted(found)
    assert ("b", "aa") in found
