"""A topology drawn: every step and edge is there, and nothing lies on anything else."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest

from streamflow import App, Topology, tumbling

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def topology() -> Topology:
    app = App("clicks")
    clicks = app.stream("clicks", key=str, value=str)
    users = app.table("users", key=str, value=str)
    regions = clicks.filter(bool).join(users, lambda click, user: user, value=str).group_by(str.lower, key=str)
    regions.windowed_by(tumbling("1m")).count(name="per-region").to_stream().to("out")
    branches = clicks.split({"a": bool, "b": bool}, default="rest")
    branches["a"].merge(branches["b"]).to("merged")
    branches["rest"].to(lambda key, value, context: "<computed>")
    return app.topology


def test_the_data_names_every_step_store_and_repartition_topic(topology: Topology) -> None:
    data = json.loads(json.dumps(topology.to_dict()))
    steps = {step["name"]: step for sub in data["subtopologies"] for step in sub["steps"]}
    assert set(steps) == set(topology.steps)
    assert steps["clicks-join"]["stores"] == ["users-table"]
    assert steps["clicks-split"]["children"] == ["clicks-split-a", "clicks-split-b", "clicks-split-rest"]
    assert [(store["name"], store["kind"]) for store in data["stores"]] == [
        ("users-table", "key_value"),
        ("per-region", "window"),
    ]
    assert data["repartitions"] == [{"name": "per-region", "partitions": None}]


def test_the_data_tells_of_tables_that_every_worker_has_and_who_asks_them() -> None:
    app = App("app")
    users = app.global_table("users", key=str, value=str, name="people")
    app.stream("clicks", key=str, value=str).join(users, lambda v, u: v, on=lambda v: v, value=str, name="known").to(
        "out"
    )
    [table] = app.topology.to_dict()["globals"]
    assert (table["topic"], table["store"], table["types"]) == ("users", "people", ["string", "string"])
    assert table["asked_by"] == ["known"]


def test_the_flowchart_has_an_edge_for_every_edge(topology: Topology) -> None:
    chart = topology.to_mermaid()
    assert chart.startswith("flowchart LR\n")
    assert all(f'["{name}"]' in chart for name in topology.steps)
    edges = sum(len(step.parents) for step in topology.steps.values())
    ends = sum(1 for line in chart.splitlines() if " --> s" in line and line.strip().startswith("s"))
    assert ends == edges
    assert chart.count('(["per-region-repartition"])') == 1


def test_the_drawing_is_xml_with_a_box_per_step_and_no_two_overlap(topology: Topology) -> None:
    root = ET.fromstring(topology.to_svg())
    boxes = [
        tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if rect.attrib["class"] != "group"
    ]
    assert len(boxes) == len(topology.steps)
    for a, b in combinations(boxes, 2):
        assert a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(x + w <= width and y + h <= height for x, y, w, h in boxes)
    between = [path for path in root.iter(f"{SVG}path") if path.attrib.get("class") == "between"]
    assert len(between) == 2  # through the repartition topic, and from the table to the join


def test_the_drawing_needs_nothing_else(topology: Topology) -> None:
    svg = topology.to_svg()
    assert "href" not in svg and "<script" not in svg and svg.count("http") == 1
