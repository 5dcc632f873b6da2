"""Plots inside the page: SVG cleaned up, made unique, and coloured by the page's own theme."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html import escape

from harness.plotting.draw import DrawnPlot
from harness.plotting.style import GRID, INK, MUTED, PALETTE, PAPER

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
THEMED = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    **{color: f"var(--s{n + 1})" for n, color in enumerate(PALETTE)},
}
HARMFUL = ("script", "foreignObject", "a", "animate", "set", "iframe", "style")
"""Elements that a plot does not need; matplotlib's own `style` only repeats a default."""


def render_figure(drawn: DrawnPlot, anchor: str) -> str:
    """Return a plot as a `<figure>`, or the reason why there is none."""
    title = f"<h3>{escape(drawn.title)}</h3>"
    if drawn.problem:
        return f'<figure class="plot" id="{escape(anchor)}">{title}<p class="problem">{escape(drawn.problem)}</p></figure>'
    caption = f"<figcaption>{escape(drawn.caption)}</figcaption>" if drawn.caption else ""
    picture = theme_svg(drawn.svg, anchor, f"{drawn.title}. {drawn.caption}")
    return (
        f'<figure class="plot" id="{escape(anchor)}">{title}'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(drawn.title)}">{picture}</div>{caption}</figure>'
    )


def theme_svg(svg: str, prefix: str, label: str) -> str:
    """Return SVG text for use inside HTML.

    Ids get the prefix, since different plots may share them; colours of the plots' style become the page's
    variables; active elements are dropped.
    """
    # the text comes from matplotlib in this process, so parsing it as XML is safe
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local_name(child.tag) in (*HARMFUL, "metadata"):
                parent.remove(child)
    width = float(root.get("width", "400pt").removesuffix("pt")) * 4 / 3
    used = set(re.findall(r"""(?:url\(|href=")#([^")]+)""", svg))
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)  # matplotlib uses some of these twice
        _clean_attributes(element, prefix)
    for attribute in ("width", "height"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("style", f"max-width:{width * 1.2:.0f}px;min-width:{width * 0.72:.0f}px")
    ET.register_namespace("", SVG)
    text = ET.tostring(root, encoding="unicode")
    return text.replace(f' xmlns="{SVG}"', "", 1)


def _clean_attributes(element: ET.Element, prefix: str) -> None:
    for key, value in list(element.attrib.items()):
        name = _local_name(key)
        if key.startswith(f"{{{XLINK}}}"):
            del element.attrib[key]
            key = name
        if name.startswith("on") or (name == "href" and not value.startswith(("#", "data:image/"))):
            element.attrib.pop(key, None)
            continue
        if name == "id":
            value = f"{prefix}-{value}"
        elif name == "href" and value.startswith("#"):
            value = f"#{prefix}-{value[1:]}"
        elif name == "style":
            value = re.sub(r"#[0-9a-f]{6}\b", lambda m: THEMED.get(m[0], m[0]), value)
        element.set(key, value.replace("url(#", f"url(#{prefix}-"))


def _local_name(name: str) -> str:
    return name.rpartition("}")[2]
