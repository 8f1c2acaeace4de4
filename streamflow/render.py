"""A topology drawn: as plain data, as a Mermaid flowchart, and as an SVG of its own.

The drawing is in layers, left to right: a step stands right of all its parents
and of the tables it looks into. Within a layer, steps stand by the middle of
their parents. What goes from one sub-topology to another through a repartition
topic takes the free lanes: down behind its column, along above the frame of
the reader, and in from the left; so it crosses no box.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from streamflow.operators.global_join import StreamGlobalJoin
from streamflow.topology import GlobalSource, Sink, Source, Step, Topology, groups, keepers, stores_of

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, HEAD = 190, 46, 56, 18, 24, 26
"""A box, the space between boxes, and around a sub-topology, in pixels."""
LANES, LANE = 4, 5
"""Lines side by side in one free lane, and the pixels between two of them."""
_LETTERS = 26

_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2933; }
  .small { font-size: 10px; fill: #616e7c; }
  .group { fill: #f5f7fa; stroke: #cbd2d9; }
  .topic { fill: #dceefb; stroke: #2680c2; }
  .step { fill: #ffffff; stroke: #7b8794; }
  .store { fill: #fffbea; stroke: #de911d; }
  .edge { fill: none; stroke: #7b8794; }
  .between { fill: none; stroke: #2680c2; stroke-dasharray: 5 4; stroke-linejoin: round; }
"""


def to_dict(topology: Topology) -> dict[str, Any]:
    """``{"subtopologies": [{"steps": [...]}], "stores": [...], "repartitions": [...], "globals": [...]}``, fit for JSON."""
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
        "globals": [_global(table, topology) for table in topology.globals.values()],
    }


def _global(table: GlobalSource, topology: Topology) -> dict[str, Any]:
    """A table that every worker has whole, and the steps that ask it."""
    asking = [
        step.name
        for step in topology.steps.values()
        if isinstance(step.meaning, StreamGlobalJoin) and step.meaning.table == table.store.name
    ]
    return {
        "name": table.step,
        "topic": table.topic,
        "store": table.store.name,
        "types": [table.store.key.name, table.store.value.name],
        "where": table.where,
        "asked_by": asking,
    }


def _step(step: Step, topology: Topology) -> dict[str, Any]:
    children = [each.name for each in topology.steps.values() if step.name in each.parents]
    return {
        "name": step.name,
        "kind": _kind(step),
        "parents": list(step.parents),
        "children": children,
        "topics": _topics(step),
        "types": _types(step),
        "asks": _asked(topology, step),
        "stores": list(stores_of(step)),
        "table": step.table,
        "where": step.where,
    }


def _kind(step: Step) -> str:
    meaning = step.meaning
    return "source" if isinstance(meaning, Source) else "sink" if isinstance(meaning, Sink) else type(meaning).__name__


def _types(step: Step) -> list[str]:
    """The names of the key's and the value's serde where records come in or go out; known nowhere else."""
    return [step.meaning.key.name, step.meaning.value.name] if isinstance(step.meaning, Source | Sink) else []


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
    return text.replace("#", "#35;").replace('"', "#quot;")


@dataclass(frozen=True)
class _Box:
    """Where a step is drawn, by its upper left corner."""

    step: Step
    x: float
    y: float

    @property
    def middle(self) -> float:
        return self.y + HEIGHT / 2


@dataclass(frozen=True)
class _Drawing:
    """Boxes by step, and for each edge ``(from, to)`` that is longer than one layer the points it passes through."""

    boxes: dict[str, _Box]
    points: dict[tuple[str, str], list[tuple[float, float]]]

    def height_of(self, edge: tuple[str, str]) -> float:
        """The height at which an edge comes out of the layer before."""
        passed = self.points.get(edge)
        return passed[-1][1] if passed else self.boxes[edge[0]].middle


def to_svg(topology: Topology) -> str:
    """The drawing, one sub-topology below the other; dashed lines go through repartition topics and stores."""
    drawing = _Drawing({}, {})
    boxes = drawing.boxes
    tops: dict[str, float] = {}
    frames: list[str] = []
    top, right = float(MARGIN), 0.0
    for number, names in enumerate(groups(topology)):
        bottom = _place(topology, names, top + HEAD + MARGIN / 2, drawing) + MARGIN
        tops |= dict.fromkeys(names, top)
        wide = max(boxes[name].x for name in names) + WIDTH
        frames.append(
            f'<rect class="group" x="{MARGIN}" y="{top:g}" width="{wide:g}" height="{bottom - top:g}" rx="8"/>'
            f'<text x="{MARGIN + 24}" y="{top + 20:g}">Sub-topology {number}</text>'
        )
        top, right = bottom + MARGIN, max(right, wide + 2 * MARGIN)
    lines = [*_edges(topology, drawing), *_routes(topology, boxes, tops)]
    drawn = [*frames, *lines, *map(_drawn, boxes.values())]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right:g} {top:g}" width="{right:g}" height="{top:g}">\n'
        f"<style>{_STYLE}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#7b8794"/></marker></defs>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _place(topology: Topology, names: list[str], top: float, drawing: _Drawing) -> float:
    """Draw one sub-topology: the layer gives x, what comes in gives y, and none lies on another; gives the bottom."""
    edges = {name: [(above, name) for above in _above(topology, name)] for name in names}
    layer: dict[str, int] = {}
    for name in names:  # what comes in stands before it
        layer[name] = 1 + max((layer[above] for above, _ in edges[name]), default=-1)
    bottom = top
    for number in range(max(layer.values()) + 1):
        x, y = 2 * MARGIN + number * (WIDTH + GAP_X), top
        wished: list[tuple[float, str | tuple[str, str]]] = []
        for name in names:
            if layer[name] == number:
                coming = [drawing.height_of(edge) for edge in edges[name]]
                wished.append((sum(coming) / len(coming) - HEIGHT / 2 if coming else top, name))
            elif layer[name] > number:
                passing = [edge for edge in edges[name] if layer[edge[0]] < number]
                wished.extend((drawing.height_of(edge) - GAP_Y / 2, edge) for edge in passing)
        for wish, what in sorted(wished, key=lambda each: each[0]):
            y = max(y, wish)
            if isinstance(what, str):
                drawing.boxes[what] = _Box(topology.steps[what], x, y)
                y += HEIGHT
            else:
                drawing.points.setdefault(what, []).append((x, y + GAP_Y / 2))
                y += GAP_Y
            bottom = max(bottom, y)
            y += GAP_Y
    return bottom


def _above(topology: Topology, name: str) -> list[str]:
    """What leads to a step from the left: its parents, and the tables that it asks."""
    step = topology.steps[name]
    return list(dict.fromkeys([*step.parents, *_asked(topology, step)]))


def _edges(topology: Topology, drawing: _Drawing) -> Iterable[str]:
    for step in topology.steps.values():
        for above in _above(topology, step.name):
            yield _line(drawing, (above, step.name), "edge" if above in step.parents else "between")


def _asked(topology: Topology, step: Step) -> list[str]:
    """The tables whose rows a step looks up."""
    return [] if step.table else keepers(topology, step)


def _routes(topology: Topology, boxes: Mapping[str, _Box], tops: Mapping[str, float]) -> Iterable[str]:
    """The ways through repartition topics: from a sink to the source that reads it, in another sub-topology."""
    readers = {
        step.meaning.repartition: step.name
        for step in topology.steps.values()
        if isinstance(step.meaning, Source) and step.meaning.repartition is not None
    }
    number = 0
    for step in topology.steps.values():
        if isinstance(step.meaning, Sink) and step.meaning.repartition in readers:
            reader = readers[step.meaning.repartition]
            a, b, shift = boxes[step.name], boxes[reader], LANE * (number % LANES)
            number += 1
            down, along, into = a.x + WIDTH + 10 + shift, tops[reader] - MARGIN + 4 + shift, MARGIN + 3 + shift
            path = f"M{a.x + WIDTH:g} {a.middle:g} H{down:g} V{along:g} H{into:g} V{b.middle:g} H{b.x:g}"
            yield f'<path class="between" d="{path}" marker-end="url(#tip)"/>'


def _line(drawing: _Drawing, edge: tuple[str, str], kind: str) -> str:
    """A curve from the right side of one box to the left side of another, through the gaps that are kept for it."""
    a, b = drawing.boxes[edge[0]], drawing.boxes[edge[1]]
    x, y = a.x + WIDTH, a.middle
    path = f"M{x:g} {y:g}"
    for to_x, to_y in [*drawing.points.get(edge, ()), (b.x, b.middle)]:
        bend = (to_x - x) / 2
        path += f" C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
        x, y = to_x, to_y
        if x != b.x:
            x += WIDTH
            path += f" H{x:g}"
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
