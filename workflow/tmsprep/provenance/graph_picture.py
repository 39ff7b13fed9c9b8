"""The picture of a lineage: raw scans at the top, one box a stage run, what came out at the bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 148, 40
_GAP_X, _GAP_Y = 14, 34
_MARGIN = 6
_LETTERS = 20


@dataclass(frozen=True)
class Box:
    """A node: a group of files from outside, or a stage run."""

    anchor: str
    """Id of the section that tells about it."""
    title: str
    line: str
    """Below the title, smaller."""
    outside: bool
    """Not made here: drawn with a broken edge."""
    parents: tuple[str, ...]
    """Anchors of the boxes that it depends on."""


def draw(boxes: Sequence[Box], caption: str) -> str:
    """Return an SVG of the boxes in layers; a click on one leads to its section.

    An arrow is left out where a longer way shows the same dependence.

    Parameters
    ----------
    boxes
        In an order in which no box stands before its parents.
    caption
        What the picture shows, for those who do not see it.
    """
    import networkx as nx

    graph: Any = nx.DiGraph()
    graph.add_nodes_from(box.anchor for box in boxes)
    graph.add_edges_from((parent, box.anchor) for box in boxes for parent in box.parents)
    edges = sorted(nx.transitive_reduction(graph).edges)
    places = _places(boxes, edges)
    width = max(x for x, _ in places.values()) + _WIDTH + _MARGIN
    height = max(y for _, y in places.values()) + _HEIGHT + _MARGIN
    parts = [
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="min-width:{min(width, 560):.0f}px;max-width:{width:.0f}px"'
        f' role="group" aria-label="{escape(caption)}" font-family="inherit">',
        *(_arrow(places[start], places[end]) for start, end in edges),
        *(_node(box, *places[box.anchor]) for box in boxes),
        "</svg>",
    ]
    return "".join(parts)


def _places(boxes: Sequence[Box], edges: Sequence[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Return the upper left corner of each box: each a layer below its lowest parent, near the middle of its parents."""
    parents: dict[str, list[str]] = {box.anchor: [] for box in boxes}
    for start, end in edges:
        parents[end].append(start)
    layer: dict[str, int] = {}
    for box in boxes:
        layer[box.anchor] = 1 + max((layer[parent] for parent in parents[box.anchor]), default=-1)
    _sink(boxes, edges, layer)
    rows: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for box in boxes:
        rows[layer[box.anchor]].append(box.anchor)
    width = max(len(row) for row in rows) * (_WIDTH + _GAP_X)
    x: dict[str, float] = {}
    for row in rows:
        row.sort(key=lambda anchor: _middle(parents[anchor], x))
        start = (width - len(row) * (_WIDTH + _GAP_X)) / 2
        x |= {anchor: _MARGIN + start + index * (_WIDTH + _GAP_X) for index, anchor in enumerate(row)}
    return {anchor: (x[anchor], _MARGIN + layer[anchor] * (_HEIGHT + _GAP_Y)) for anchor in x}


def _sink(boxes: Sequence[Box], edges: Sequence[tuple[str, str]], layer: dict[str, int]) -> None:
    """Move files from outside down to just above the first run that reads them."""
    for box in boxes:
        below = [layer[end] for start, end in edges if start == box.anchor]
        if box.outside and below:
            layer[box.anchor] = min(below) - 1


def _middle(parents: Sequence[str], x: Mapping[str, float]) -> float:
    known = [x[parent] for parent in parents if parent in x]
    return sum(known) / len(known) if known else 0.0


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1 = start[0] + _WIDTH / 2, start[1] + _HEIGHT
    x2, y2 = end[0] + _WIDTH / 2, end[1]
    bend = (y2 - y1) / 2
    path = f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
    head = f"M{x2 - 4:.1f} {y2 - 6:.1f}L{x2:.1f} {y2:.1f}L{x2 + 4:.1f} {y2 - 6:.1f}"
    return f'<path class="edge" d="{path}{head}"/>'


def _node(box: Box, x: float, y: float) -> str:
    broken = ' stroke-dasharray="5 3"' if box.outside else ""
    centre = x + _WIDTH / 2
    label = escape(f"{box.title}: {box.line}")
    return (
        f'<a href="#{escape(box.anchor)}" aria-label="{label}">'
        f'<rect class="node" x="{x:.1f}" y="{y:.1f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"{broken}/>'
        f'<text x="{centre:.1f}" y="{y + 17:.1f}" text-anchor="middle" font-size="13" font-weight="600">'
        f"{escape(_short(box.title))}</text> "  # the space keeps the two apart when they are read out
        f'<text x="{centre:.1f}" y="{y + 32:.1f}" text-anchor="middle" font-size="11">{escape(_short(box.line, 24))}</text>'
        f"<title>{label}</title></a>"
    )


def _short(text: str, letters: int = _LETTERS) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
