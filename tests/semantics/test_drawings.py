"""The pictures of a topology: valid by their grammars, and nothing crosses what it should not."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from streamflow import App, Topology, tumbling

SVG = "{http://www.w3.org/2000/svg}"


def clicks() -> Topology:
    app = App("clicks")
    stream, users = app.stream("clicks", key=str, value=str), app.table("users", key=str, value=str)
    stream.join(users, lambda a, b: b, value=str).group_by(str.lower, key=str).windowed_by(tumbling("1m")).count(
        name="per-region"
    ).to_stream().to("out")
    branches = stream.split({"a": bool, "b": bool}, default="rest")
    merged = branches["a"].merge(branches["b"]).select_key(str.upper, key=str)
    merged.to_table(name="latest").filter(bool, name="some").to_stream().to(lambda value: value)
    merged.left_join(users, lambda a, b: a, value=str, name="who").to("joined")
    return app.topology


def patterned() -> Topology:
    app = App("p")
    app.stream(re.compile('a"b#c;<d>&.*'), key=str, value=str).group_by(lambda v: v, key=str).count(name="n")
    return app.topology


TOPOLOGIES = {"clicks": clicks, "a pattern full of signs": patterned}

ID = r"[a-z]\d+"
TEXT = r'"(?:[^"#]|#quot;|#35;)+"'
MERMAID = [
    r"flowchart LR",
    rf"  subgraph {ID}\[{TEXT}\]",
    r"  end",
    rf"(?:    {ID}\[{TEXT}\]|    {ID}\[\({TEXT}\)\]|  {ID}\(\[{TEXT}\]\))",  # a step, a store, a topic
    rf"  {ID} (?:-->|---) {ID}",
]
"""The part of Mermaid's flowchart grammar that is used, a line each."""


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_every_line_of_the_flowchart_is_of_the_grammar_and_every_node_is_declared(name: str) -> None:
    chart = TOPOLOGIES[name]().to_mermaid()
    assert [line for line in chart.splitlines() if not any(re.fullmatch(rule, line) for rule in MERMAID)] == []
    declared = set(re.findall(rf"^ +({ID})[\[(]", chart, re.M))
    used = {end for edge in re.findall(rf"^  ({ID}) --[->] ({ID})$", chart, re.M) for end in edge}
    assert used <= declared
    assert chart.count("subgraph") == chart.count("\n  end\n")


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_the_drawing_is_well_formed_and_everything_lies_inside_it(name: str) -> None:
    root = ET.fromstring(TOPOLOGIES[name]().to_svg())
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for path in root.iter(f"{SVG}path"):
        if "class" in path.attrib:
            for x, y in corners(path.attrib["d"]):
                assert 0 <= x <= width and 0 <= y <= height


def corners(path: str) -> list[tuple[float, float]]:
    """The points that a path of M, C, H and V goes through, control points among them."""
    found: list[tuple[float, float]] = []
    for word, arguments in re.findall(r"([MCHV])([^MCHV]+)", path):
        numbers = [float(number) for number in arguments.split()]
        match word:
            case "H":
                found.append((numbers[0], found[-1][1]))
            case "V":
                found.append((found[-1][0], numbers[0]))
            case _:
                found.extend(zip(numbers[::2], numbers[1::2], strict=True))
    return found


def test_no_straight_piece_of_a_line_crosses_a_box() -> None:
    root = ET.fromstring(clicks().to_svg())
    boxes = [
        tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if rect.attrib["class"] != "group"
    ]
    checked = 0
    for path in root.iter(f"{SVG}path"):
        points = corners(path.attrib["d"]) if "class" in path.attrib else []
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            if x1 == x2 or y1 == y2:
                checked += 1
                for x, y, w, h in boxes:
                    apart = max(x1, x2) <= x or min(x1, x2) >= x + w or max(y1, y2) <= y or min(y1, y2) >= y + h
                    assert apart, (path.attrib["d"], (x, y, w, h))
    assert checked > 10
