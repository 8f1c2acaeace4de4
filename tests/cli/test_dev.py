"""`streamflow dev` runs a script while it is being written, on input that is made up."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import random
import signal
import uuid
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest

from streamflow.run.made_up import make, type_of
from streamflow.serdes import serde_of
from tests.cli.shell import Shell, until

SCRIPT = """
import msgspec
from streamflow import App

class Order(msgspec.Struct):
    product: str
    amount: int

app = App("dev")
customers = app.table("customers", key=str, value=str)
orders = app.stream("orders", key=str, value=Order)
orders.join(customers, lambda order, customer: f"{customer} LABEL {order.amount}", value=str).to("labels")
"""


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Plain:
    name: str
    colour: Colour
    many: list[int] = dataclasses.field(default_factory=list)


class Fast(msgspec.Struct):
    plain: Plain
    maybe: float | None
    when: datetime.datetime
    price: decimal.Decimal


class Named(NamedTuple):
    id: uuid.UUID
    of: tuple[int, str]


class Typed(TypedDict):
    kind: Literal["a", "b"]
    more: dict[str, set[int]]


class Model(pydantic.BaseModel):
    name: str
    tags: list[str] = []


@pytest.mark.parametrize(
    "kind",
    [str, int, float, bytes, uuid.UUID, bool, Plain, Fast, Named, Typed, Model, dict, list[Fast], dict[str, Plain]],
)
def test_what_is_made_up_can_be_written_and_read_as_its_type(kind: Any) -> None:
    serde = serde_of(kind)
    for seed in range(30):
        value = make(type_of(serde), random.Random(seed))
        assert serde.deserialize(serde.serialize(value)) == value


def test_made_up_input_meets_in_joins_and_a_change_of_the_script_shows(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("app.py", SCRIPT.replace("LABEL", "ordered"))

    def came(word: str) -> bool:
        if "page " not in running.err:
            return False
        told = shell.good("consume", "labels", "--from-beginning", "--until-end", "--format", "raw")
        return sum(word in line for line in told.splitlines()) > 5

    with shell.started("dev", "app.py", "--fake-input", "50", "--http", "127.0.0.1:0") as running:
        until(lambda: came("ordered"), lambda: running.err)
        shell.write("app.py", SCRIPT.replace("LABEL", "bought"))
        until(lambda: came("bought"), lambda: running.err)
        running.send(signal.SIGINT)
        assert running.ends() == 0


def test_a_topic_whose_type_nobody_tells_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write(
        "app.py",
        "from streamflow import App\nfrom streamflow.serdes import Serde\napp = App('dev')\n"
        "own = Serde(lambda v: v, lambda d: d, name='own')\n"
        "app.stream('dark', key=str, value=own).to('a')\napp.stream('clear', key=int, value=int).to('b')\n",
    )
    with shell.started("dev", "app.py", "--fake-input", "50", "--http", "127.0.0.1:0") as running:
        running.says("no input is made up for topic 'dark': nothing is known of what own holds")
        until(
            lambda: len(shell.good("consume", "b", "--from-beginning", "--until-end").splitlines()) > 5,
            lambda: running.err,
        )
