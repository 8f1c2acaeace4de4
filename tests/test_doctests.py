"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import streamflow

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(streamflow.__path__, "streamflow.")
    if not found.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_do_what_they_say(name: str) -> None:
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    told = doctest.testmod(importlib.import_module(name), optionflags=options)
    assert told.failed == 0
