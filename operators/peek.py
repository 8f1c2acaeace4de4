"""Peek, foreach and print: look at records without changing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Emit, Passing, Scope


@dataclass(frozen=True)
class Peek(Passing):
    """Call ``f`` with each record, then pass it on. Records that are read again after a failure are seen again."""

    f: Function

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit:
        fn, takes_key = self.f.fn, self.f.takes_key

        def process(key: Any, value: Any, timestamp: int) -> None:
            if takes_key:
                fn(key, value)
            else:
                fn(value)
            emit(key, value, timestamp)

        return process


@dataclass(frozen=True)
class Foreach(Peek):
    """Call ``f`` with each record; nothing comes after."""

    def build(self, emit: Emit, scope: Scope) -> Emit:
        fn, takes_key = self.f.fn, self.f.takes_key

        def process(key: Any, value: Any, timestamp: int) -> None:
            if takes_key:
                fn(key, value)
            else:
                fn(value)

        return process


@dataclass(frozen=True)
class Print(Passing):
    """Write ``[label]: key, value`` to standard output for each record; nothing comes after."""

    label: str | None = None

    @property
    def reads_key(self) -> bool:
        return True

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit:
        head = "" if self.label is None else f"[{self.label}]: "

        def process(key: Any, value: Any, timestamp: int) -> None:
            print(f"{head}{key}, {value}")

        return process
