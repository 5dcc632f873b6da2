"""MkDocs hook: add the repository's README files and guides to the site, and write the reference pages."""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("harness", "plugins", "suites")
PAGES = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "results.md": "results/README.md",
    **{
        f"results/{file.name}": f"results/{file.name}"
        for file in sorted((ROOT / "results").glob("*.md"))
        if file.name != "README.md"
    },
    **{f"{room}.md": f"{room}/README.md" for room in ROOMS},
}


def sources() -> dict[str, Path]:
    """Return the source file of each page, by its path in the site."""
    found = {page: ROOT / source for page, source in PAGES.items()}
    for room in ROOMS:
        for guide in sorted((ROOT / room).glob("guides/*.md")):
            found[f"guides/{guide.name}"] = guide
    return found


def homes(package: str) -> dict[str, str]:
    """Return where each public name of a package is defined, from its imports for type checkers."""
    tree = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.asname: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.asname
    }


def reference(package: str) -> str:
    """Return a page on which mkdocstrings documents every public name."""
    parts = [f"# `{package}`", "Public names; everything else may change without notice."]
    return "\n\n".join([*parts, *(f"::: {home}" for _, home in sorted(homes(package).items()))])


def relink(text: str, source: Path, page: str, pages: dict[Path, str]) -> str:
    """Turn links between files into links between pages; links to files without a page become plain text."""

    def replace(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        to = pages.get((source.parent / path).resolve())
        if to is None:
            return words
        link = posixpath.relpath(to, posixpath.dirname(page) or ".")
        return f"[{words}]({link}{'#' + anchor if anchor else ''})"

    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", replace, text)


def on_files(files: Files, config: object) -> Files:
    """Add every page to the site."""
    found = sources()
    pages = {source.resolve(): page for page, source in found.items()}
    for page, source in found.items():
        text = relink(source.read_text(encoding="utf-8"), source, page, pages)
        files.append(File.generated(config, page, content=text))
    for package in ("harness", "harness.testing"):
        files.append(File.generated(config, f"reference/{package}.md", content=reference(package)))
    return files
