"""Every option of the plugins that ship is explained, and no explanation is of an option that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from harness.discovery import docstrings, registry
from harness.discovery.options import read_options
from harness.planning.descriptions import describe_plugin


def shipped() -> Iterator[registry.Plugin]:
    """The first-party plugins of every kind that takes options."""
    for kind in registry.KINDS:
        if kind not in ("suites", "published"):  # files, which have no factory
            yield from (p for p in registry.installed(kind) if p.distribution == "vision-harness")


def test_info_has_words_for_every_option() -> None:
    plugins = list(shipped())
    assert {p.kind for p in plugins} >= {"models", "datasets", "metrics", "methods", "protocols", "summaries"}
    bare = [
        f"{plugin.kind} {plugin.name}: {option['name']} ({plugin.target})"
        for plugin in plugins
        for option in describe_plugin(plugin)["options"]
        if not option["documentation"].strip()
    ]
    assert not bare, "options without words in a section Args:\n" + "\n".join(bare)


def test_words_are_of_options_that_are_there() -> None:
    stale = []
    for plugin in shipped():
        factory = registry.load(plugin)
        known = {option.name for option in read_options(factory)[0]}
        for text in (factory.__doc__, vars(factory).get("__init__", factory).__doc__):
            told = docstrings.split_arguments(text)[1]
            stale += [
                f"{plugin.kind} {plugin.name}: {name} ({plugin.target})" for name in told.keys() - known
            ]
    assert not stale, "words for what is no option:\n" + "\n".join(sorted(stale))
