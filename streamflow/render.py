"""A topology drawn: as plain data, as a Mermaid flowchart, and as an SVG of its own.

The drawing is in layers, left to right: a step stands right of all its parents,
and a repartition topic joins the sub-topology that writes it to the one that
reads it. Within a layer, steps stand by the middle of their parents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from streamflow.topology import Sink, Source, Step, Topology, groups, keepers, stores_of

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, HEAD = 190, 46, 56, 18, 24, 26
"""A box, the space between boxes, and around a sub-topology, in pixels."""
_LETTERS = 26

_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2933; }
  .small { font-size: 10px; fill: #616e7c; }
  .group { fill: #f5f7fa; stroke: #cbd2d9; }
  .topic { fill: #dceefb; stroke: #2680c2; }
  .step { fill: #ffffff; stroke: #7b8794; }
  .store { fill: #fffbea; stroke: #de911d; }
  .edge { fill: none; stroke: #7b8794; }
  .between { fill: none; stroke: #2680c2; stroke-dasharray: 5 4; }
"""


def to_dict(topology: Topology) -> dict[str, Any]:
    """``{"subtopologies": [{"steps": [...]}], "stores": [...], "repartitions": [...]}``, fit for JSON."""
    return {
        "subtopologies": [
            {"number": number, "steps": [_step(topology.steps[name], topology) for name in names]}
            for number, names in enumerate(groups(topology))
        ],
        "stores": [
            {"name": spec.name, "kind": spec.kind, "key": spec.key.name, "value": spec.value.name}
            | ({"window_ms": spec.window_ms, "retention_ms": spec.retention_ms} if spec.kind == "window" else {})
            for spec in topology.stores.values()
        ],
        "repartitions": [{"name": each.name, "partitions": each.partitions} for each in topology.repartitions.values()],
    }


def _step(step: Step, topology: Topology) -> dict[str, Any]:
    children = [each.name for each in topology.steps.values() if step.name in each.parents]
    return {
        "name": step.name,
        "kind": _kind(step),
        "parents": list(step.parents),
        "children": children,
        "topics": _topics(step),
        "stores": list(stores_of(step)),
        "table": step.table,
        "where": step.where,
    }


def _kind(step: Step) -> str:
    meaning = step.meaning
    return "source" if isinstance(meaning, Source) else "sink" if isinstance(meaning, Sink) else type(meaning).__name__


def _topics(step: Step) -> list[str]:
    """The topics of a source or sink as they are shown; a repartition topic without the application's name."""
    meaning = step.meaning
    if isinstance(meaning, Source):
        return [meaning.pattern.pattern] if meaning.pattern else list(meaning.topics)
    if isinstance(meaning, Sink):
        return [meaning.topic if isinstance(meaning.topic, str) else "(computed)"]
    return []


def to_mermaid(topology: Topology) -> str:
    """A ``flowchart`` with a box per sub-topology, topics as rounded nodes and stores as cylinders."""
    ids = {name: f"s{number}" for number, name in enumerate(topology.steps)}
    stores = {name: f"d{number}" for number, name in enumerate(topology.stores)}
    topics: dict[str, str] = {}
    lines = ["flowchart LR"]
    edges: list[str] = []
    for number, names in enumerate(groups(topology)):
        lines.append(f'  subgraph g{number}["Sub-topology {number}"]')
        for step in (topology.steps[name] for name in names):
            lines.append(f'    {ids[step.name]}["{_quoted(step.name)}"]')
            edges.extend(f"  {ids[parent]} --> {ids[step.name]}" for parent in step.parents)
            edges.extend(f"  {ids[step.name]} --- {stores[store]}" for store in stores_of(step))
            for topic in _topics(step):
                node = topics.setdefault(topic, f"t{len(topics)}")
                source = isinstance(step.meaning, Source)
                edges.append(f"  {node} --> {ids[step.name]}" if source else f"  {ids[step.name]} --> {node}")
        used = {store for name in names for store in stores_of(topology.steps[name])}
        lines.extend(f'    {stores[store]}[("{_quoted(store)}")]' for store in topology.stores if store in used)
        lines.append("  end")
    lines.extend(f'  {node}(["{_quoted(topic)}"])' for topic, node in topics.items())
    return "\n".join([*lines, *edges]) + "\n"


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;")


@dataclass
class _Box:
    """Where a step is drawn, by its upper left corner."""

    step: Step
    x: float
    y: float

    @property
    def middle(self) -> float:
        return self.y + HEIGHT / 2


def to_svg(topology: Topology) -> str:
    """The drawing, one sub-topology below the other; dashed lines go through repartition topics and stores."""
    boxes: dict[str, _Box] = {}
    frames: list[str] = []
    top, right = float(MARGIN), 0.0
    for number, names in enumerate(groups(topology)):
        placed = _placed([topology.steps[name] for name in names], top + HEAD + MARGIN / 2)
        boxes |= placed
        bottom = max(box.y for box in placed.values()) + HEIGHT + MARGIN
        wide = max(box.x for box in placed.values()) + WIDTH
        frames.append(
            f'<rect class="group" x="{MARGIN}" y="{top:g}" width="{wide:g}" height="{bottom - top:g}" rx="8"/>'
            f'<text x="{MARGIN + 12}" y="{top + 20:g}">Sub-topology {number}</text>'
        )
        top, right = bottom + MARGIN, max(right, wide + 2 * MARGIN)
    drawn = [*frames, *_edges(topology, boxes), *(_drawn(box) for box in boxes.values())]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right:g} {top:g}" width="{right:g}" height="{top:g}">\n'
        f"<style>{_STYLE}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#7b8794"/></marker></defs>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _placed(steps: Iterable[Step], top: float) -> dict[str, _Box]:
    """Boxes of one sub-topology: the layer gives x, the middle of the parents gives y, and none lies on another."""
    steps = list(steps)
    layer: dict[str, int] = {}
    for step in steps:  # parents stand before their children
        layer[step.name] = 1 + max((layer[parent] for parent in step.parents), default=-1)
    boxes: dict[str, _Box] = {}
    for number in range(max(layer.values()) + 1):
        wished = [(_wish(step, boxes, top), step) for step in steps if layer[step.name] == number]
        y = top
        for wish, step in sorted(wished, key=lambda each: each[0]):
            y = max(y, wish)
            boxes[step.name] = _Box(step, 2 * MARGIN + number * (WIDTH + GAP_X), y)
            y += HEIGHT + GAP_Y
    return boxes


def _wish(step: Step, boxes: Mapping[str, _Box], top: float) -> float:
    parents = [boxes[parent].y for parent in step.parents]
    return sum(parents) / len(parents) if parents else top


def _edges(topology: Topology, boxes: Mapping[str, _Box]) -> Iterable[str]:
    for step in topology.steps.values():
        for parent in step.parents:
            yield _line(boxes[parent], boxes[step.name], "edge")
        if isinstance(step.meaning, Sink) and step.meaning.repartition is not None:
            for reader in topology.steps.values():
                if isinstance(reader.meaning, Source) and reader.meaning.repartition == step.meaning.repartition:
                    yield _line(boxes[step.name], boxes[reader.name], "between")

        for keeper in keepers(topology, step):
            if not step.table:
                yield _line(boxes[keeper], boxes[step.name], "between")


def _line(a: _Box, b: _Box, kind: str) -> str:
    """A curve from the right side of one box to the left side of another."""
    x1, y1, x2, y2 = a.x + WIDTH, a.middle, b.x, b.middle
    bend = max(GAP_X / 2, abs(x2 - x1) / 3)
    path = f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
    return f'<path class="{kind}" d="{path}" marker-end="url(#tip)"/>'


def _drawn(box: _Box) -> str:
    step, stores, topics = box.step, stores_of(box.step), _topics(box.step)
    kind, note = ("topic", ", ".join(topics)) if topics else ("step", _kind(step))
    if stores:
        kind, note = "store", f"{_kind(step)}: {', '.join(stores)}"
    radius = HEIGHT / 2 if topics else 5
    return (
        f"<g><title>{escape(f'{step.name} ({step.where})')}</title>"
        f'<rect class="{kind}" x="{box.x:g}" y="{box.y:g}" width="{WIDTH}" height="{HEIGHT}" rx="{radius:g}"/>'
        f'<text x="{box.x + WIDTH / 2:g}" y="{box.y + 20:g}" text-anchor="middle">{escape(_short(step.name))}</text>'
        f'<text class="small" x="{box.x + WIDTH / 2:g}" y="{box.y + 35:g}" text-anchor="middle">'
        f"{escape(_short(note, 32))}</text></g>"
    )


def _short(text: str, letters: int = _LETTERS) -> str:
    """As much as fits, the ends kept: names differ there."""
    if len(text) <= letters:
        return text
    half = (letters - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
