"""How many arguments a user's function takes decides how it is called, once, and a wrong number is told at once."""

from __future__ import annotations

import functools
import operator
from typing import Any

import pytest

from streamflow import App, TopologyError
from streamflow.functions import arity, contextual


@pytest.mark.parametrize(
    ("fn", "takes_key"),
    [
        (lambda value: value, False),
        (lambda key, value: value, True),
        (lambda value, more=1: value, False),
        (lambda *values: values, False),
        (lambda value=1: value, False),
        (str.split, False),
        (len, False),
        (max, False),
        (int, False),
        (operator.itemgetter(0), False),
        (functools.partial(lambda a, b, c: a, 1), True),
        (functools.partial(lambda a, b: a, 1), False),
    ],
)
def test_only_required_positional_arguments_count(fn: Any, takes_key: bool) -> None:
    assert arity(fn, "mapper", "step").takes_key is takes_key


def test_the_full_form_is_key_first_for_every_role() -> None:
    assert arity(lambda left, right: (left, right), "joiner", "s").full("k", 1, 2) == (1, 2)
    assert arity(lambda key, left, right: (key, left, right), "joiner", "s").full("k", 1, 2) == ("k", 1, 2)
    assert arity(lambda total, value: total + value, "aggregator", "s").full("k", 1, 2) == 3
    assert arity(lambda: 7, "initializer", "s").full() == 7


@pytest.mark.parametrize(
    ("fn", "role", "text"),
    [
        (lambda a, b, c: a, "predicate", "3 arguments; write it as f(value) or f(key, value)"),
        (lambda: 1, "mapper", "no argument; write it as f(value) or f(key, value)"),
        (lambda a: 1, "joiner", "1 argument; write it as f(left, right) or f(key, left, right)"),
        (lambda a: 1, "initializer", "1 argument; write it as f()"),
        (3, "mapper", "its mapper is 3, which cannot be called"),
    ],
)
def test_a_wrong_number_of_arguments_names_the_step_and_the_forms(fn: Any, role: str, text: str) -> None:
    with pytest.raises(TopologyError, match="step 'orders-map'") as told:
        arity(fn, role, "orders-map")
    assert text in str(told.value)


def test_a_function_that_needs_a_keyword_is_refused() -> None:
    def f(value: int, *, unit: str) -> int:
        return value

    with pytest.raises(TopologyError, match="needs the keyword argument 'unit'"):
        arity(f, "mapper", "s")


@pytest.mark.parametrize("fn", [lambda v: v, lambda k, v: v, lambda k, v, c: v])
def test_an_extractor_takes_one_two_or_three_arguments(fn: Any) -> None:
    assert contextual(fn, "timestamp", "s")("key", 7, None) == 7


def test_the_error_of_a_word_names_the_users_step() -> None:
    lines = App("a").stream("lines", value=str)
    with pytest.raises(TopologyError, match=r"step 'shout': its mapper \(a lambda\) takes 3 arguments"):
        lines.map_values(lambda a, b, c: a, name="shout")  # type: ignore[arg-type, misc]
