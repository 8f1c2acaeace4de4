"""The alert rules and the dashboard for Grafana ask for what a worker really tells."""

from __future__ import annotations

import importlib.util
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.shell import Shell, until

OPERATING = Path(__file__).parents[2] / "docs" / "operating"
OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds to whatever it scrapes."""

SCRIPT = """
from streamflow import App

app = App("watched", on_process_error="skip")
words = app.stream("lines", key=str, value=str).filter(lambda line: line != "")
counts = words.map_values(lambda line: str(int(line)), value=str).group_by_key().count(name="counts")
counts.to_stream().to("counted")
"""


class Query(NamedTuple):
    """``texts`` may have ``{{label}}`` of its result."""

    place: str
    expr: str
    texts: list[str]


def alerts() -> Iterator[Query]:
    for group in yaml.safe_load((OPERATING / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield Query(rule["alert"], rule["expr"], list(rule["annotations"].values()))


def panels() -> Iterator[Query]:
    for panel in json.loads((OPERATING / "grafana.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield Query(panel["title"], target["expr"], [target["legendFormat"]])


QUERIES = [*alerts(), *panels()]


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each sample of two workers, of which one keeps copies and one record was dropped."""
    shell = Shell(tmp_path_factory.mktemp("watched"))
    shell.write("app.py", SCRIPT.replace('"watched", ', '"watched", standby_replicas=1, '))
    for topic in ("lines", "counted"):
        shell.good("topics", "create", topic, "--partitions", "2")
    shell.good("produce", "lines", "--key-separator", "TAB", text="a\t1\nb\t2\nc\tno number\n")
    found: dict[str, set[str]] = {}

    def read(address: str) -> None:
        with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    found.setdefault(sample.name, set()).update(sample.labels)

    with (
        shell.started("run", "app.py", "--http", ":0") as first,
        shell.started("run", "app.py", "--http", ":0") as second,
    ):

        def all_told() -> bool:
            for running in (first, second):
                address = re.search(r"http +(http://\S+)", running.err)
                if address is None:
                    return False
                try:
                    read(address[1])
                except OSError:
                    return False
            return {"streamflow_dropped_records_total", "streamflow_standby_lag"} <= found.keys()

        until(all_told, lambda: f"{sorted(found)}\n{first.err}\n{second.err}")
    return found


def selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        if hasattr(node, name):
            yield from selectors(getattr(node, name))
    for each in getattr(node, "args", ()):
        yield from selectors(each)


def labels_by(node: Any) -> Iterator[str]:
    """Labels that something of the query is grouped by."""
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
        yield from node.modifier.labels
    for name in ("lhs", "rhs", "expr"):
        if hasattr(node, name):
            yield from labels_by(getattr(node, name))
    for each in getattr(node, "args", ()):
        yield from labels_by(each)


def result_labels(node: Any, scrape: dict[str, set[str]]) -> set[str]:
    """Those of what the query gives."""
    if isinstance(node, promql_parser.AggregateExpr):
        return set() if node.modifier is None else set(node.modifier.labels)
    if isinstance(node, promql_parser.VectorSelector):
        return scrape[node.name] | OF_PROMETHEUS
    for name in ("lhs", "expr", "vector_selector"):
        if hasattr(node, name):
            return result_labels(getattr(node, name), scrape)
    found = [result_labels(each, scrape) for each in getattr(node, "args", ())]
    return set().union(*found)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: f"{query.place}: {query.expr[:30]}")
def test_a_query_asks_for_metrics_and_labels_that_workers_tell(query: Query, scrape: dict[str, set[str]]) -> None:
    parsed = promql_parser.parse(query.expr)
    asked = list(selectors(parsed))
    assert asked
    for selector in asked:
        assert selector.name in scrape, selector.name
        for matcher in selector.matchers.matchers:
            assert matcher.name in scrape[selector.name] | OF_PROMETHEUS
    known = set().union(*(scrape[selector.name] for selector in asked)) | OF_PROMETHEUS
    assert set(labels_by(parsed)) <= known
    told = {label for text in query.texts for label in re.findall(r"{{ ?(?:\$labels\.)?(\w+) ?}}", text)}
    assert told <= result_labels(parsed, scrape)


def test_every_metric_of_trouble_has_an_alert_or_a_panel() -> None:
    asked = {selector.name for query in QUERIES for selector in selectors(promql_parser.parse(query.expr))}
    assert {
        "streamflow_records_lag",
        "streamflow_dropped_records_total",
        "streamflow_commit_fenced_total",
        "streamflow_commit_doubtful_total",
        "streamflow_store_rebuilt_total",
        "streamflow_restore_remaining_records",
        "streamflow_rocksdb_write_stopped",
    } <= asked


def test_the_dashboard_is_what_its_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("grafana", OPERATING / "grafana.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert json.loads((OPERATING / "grafana.json").read_text()) == module.dashboard()
