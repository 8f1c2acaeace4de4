"""The pages say what is so: their scripts run, their tables are what the driver answers, and no word lacks a page."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import streamflow
from streamflow import processor
from streamflow.app import App
from streamflow.cogrouped import CogroupedKStream, WindowedCogroupedKStream
from streamflow.global_table import GlobalKTable
from streamflow.grouped import KGroupedStream, KGroupedTable
from streamflow.stream import KStream
from streamflow.table import KTable
from streamflow.testing import TopologyTestDriver
from streamflow.testing.topics import InputTopic, OutputTopic
from streamflow.topology import Topology
from streamflow.windowed import WindowedKStream
from tests.docs.pictures import PAGES, Picture, Script, filled, name_of, pages, parts

OWNERS = (
    App, KStream, KGroupedStream, WindowedKStream, CogroupedKStream, WindowedCogroupedKStream, KTable, KGroupedTable,
    GlobalKTable, Topology, TopologyTestDriver, InputTopic, OutputTopic, processor.Processor,
    processor.ProcessorContext, processor.ValueTransformer,
)  # fmt: skip
EVERYWHERE = {"self", "name", "store", "key", "value", "f", "init", "topic", "factory"}
"""Arguments that `names.md` explains for all words."""
MADE_BY_USERS = (
    App, TopologyTestDriver, processor.KeyValueStore, processor.WindowStore, processor.SessionStore,
    processor.VersionedStore,
)  # fmt: skip
CONFIG = (PAGES.parent / "mkdocs.yml").read_text()
WITHOUT_SCRIPTS = {"decisions.md", "operators.md"}


def told() -> dict[str, list[Path]]:
    """Each word that a page is about, with these pages."""
    found: dict[str, list[Path]] = {}
    for page in pages():
        for line in re.findall(r"^Words: (.*?)\.\s+In Kafka Streams: ", page.read_text(), re.MULTILINE | re.DOTALL):
            for word in re.findall(r"`([\w.]+)", line):
                found.setdefault(word, []).append(page)
    return found


def words() -> dict[str, Any]:
    """Every public word: ``Class.method``, functions and classes of the modules that users import."""
    found = {
        f"{owner.__name__}.{name}": member
        for owner in OWNERS
        for name, member in inspect.getmembers(owner)
        if not name.startswith("_")
    }
    found |= {name: getattr(streamflow, name) for name in streamflow.__all__}
    found |= {name: getattr(processor, name) for name in processor.__all__}
    fields = {f"Topology.{field.name}" for field in dataclasses.fields(Topology)}
    return {word: thing for word, thing in found.items() if word not in fields} | {
        "TopologyTestDriver": TopologyTestDriver
    }


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_page_shows_what_the_driver_answers(page: Path) -> None:
    assert filled(page) == page.read_text(), f"`python -m tests.docs {name_of(page)}` writes what it answers now"


@pytest.mark.parametrize("page", sorted((PAGES / "words").glob("*.md")), ids=name_of)
def test_a_page_of_words_has_a_script_and_says_what_it_is_about(page: Path) -> None:
    found = list(parts(page.read_text()))
    assert any(isinstance(part, Script) for part in found)
    assert any(isinstance(part, Picture) for part in found) or "assert " in page.read_text()
    assert page in [each for every in told().values() for each in every]
    assert "In Kafka Streams:" in page.read_text()


def test_every_public_word_has_a_page_and_no_page_is_about_a_word_that_is_not_there() -> None:
    assert sorted(set(words()) - set(told())) == []
    assert sorted(set(told()) - set(words())) == []


def test_every_argument_of_a_word_stands_on_its_page() -> None:
    missing: list[str] = []
    for word, on in told().items():
        member = words()[word]
        if inspect.isclass(member) and member not in MADE_BY_USERS:
            continue
        if not callable(member):  # a property, a module, a type alias
            continue
        text = "".join(page.read_text() for page in on)
        names = set(inspect.signature(member).parameters) - EVERYWHERE
        missing += [f"{word}({name}=)" for name in sorted(names) if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_every_page_is_in_the_menu_once_and_every_entry_of_the_menu_is_a_page() -> None:
    menu = re.findall(r"([\w/]+\.md)", CONFIG.split("\nnav:", 1)[1])
    assert sorted(menu) == sorted(name_of(page) for page in pages())
