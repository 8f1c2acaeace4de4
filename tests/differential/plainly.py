"""Runs a program by the definitions of its steps.

Where records change their keys they go through a queue, as they go through a repartition topic. What is joined by
anything else is one task. In turns, each task takes what is in its queues, oldest record first and the queue that was
declared first among equals; what it puts into queues is there for the next turn.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from tests.differential.definitions import Definition, Each, Row, Suppress
from tests.differential.programs import WORDS, Step


class Node:
    """A definition and what comes after it. ``out`` keeps what it said, if somebody wants to know."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.children: list[tuple[Node | Queue, int]] = []
        self.out: list[Row] = []
        self.task: set[Any] = {self}

    def take(self, port: int, row: Row) -> None:
        for made in self.definition.take(port, row):
            self.out.append(made)
            for child, its in self.children:
                child.take(its, made)


class Queue:
    """What waits for a node; what comes in during a turn is there for the next."""

    def __init__(self, node: Node, port: int, *, null_keys: bool) -> None:
        self.node, self.port, self.null_keys = node, port, null_keys
        self.rows, self.coming = deque[Row](), list[Row]()

    def take(self, port: int, row: Row) -> None:
        if row[0] is not None or self.null_keys:
            self.coming.append(row)


class Plainly:
    """A program; give it records with `pipe`, and look at ``said`` of a step (by its number).

    ``crowded`` once a queue has held several records at a time: what two steps make of them comes in another order
    where both take them from one topic.
    """

    def __init__(self, program: list[Step]) -> None:
        self.crowded = False
        self.queues: list[Queue] = []
        self.topics: dict[int, Queue] = {}
        self.last: list[Node] = []
        rekeyed: list[bool] = []
        for number, step in enumerate(program):
            if step.word in ("stream", "table"):
                node = Node(
                    Each(lambda k, v, t: [(k, v, t)]) if step.word == "stream" else WORDS["to_table"].meanings()[0]
                )
                self.topics[number] = self._queue(node, 0, null_keys=True)
                self.last.append(node)
                rekeyed.append(False)
                continue
            word = WORDS[step.word]
            first, *others = (Node(meaning) for meaning in word.meanings(*step.chance))
            if hasattr(first.definition, "sides") or step.word.startswith(("table_", "stream_table")):
                first.definition.sides = [self.last[parent].definition for parent in step.parents]  # type: ignore[attr-defined]
            if isinstance(first.definition, Suppress) and first.definition.windows:
                first.definition.wait = _patience(program, step)
            for port, parent in enumerate(step.parents):
                if port in word.gathers and rekeyed[parent]:
                    gathers = self._queue(first, port, null_keys=port in word.lets_null_through)
                    self.last[parent].children.append((gathers, 0))
                else:
                    self._join(self.last[parent], first, port)
            for node in others:
                first.children.append((self._queue(node, 0, null_keys=False), 0))
                first = node
            self.last.append(first)
            stays = not word.gathers and not word.always and word.gives == "S"
            rekeyed.append(word.rekeys or (stays and any(rekeyed[parent] for parent in step.parents)))

    def pipe(self, number: int, row: Row) -> None:
        """A record for the topic of step ``number``, and all that comes of it."""
        self.topics[number].rows.append(row)
        while any(queue.rows for queue in self.queues):
            tasks = {id(queue.node.task): queue.node.task for queue in self.queues}
            for task in tasks.values():
                mine = [queue for queue in self.queues if queue.node in task]
                while waiting := [queue for queue in mine if queue.rows]:
                    queue = min(waiting, key=lambda queue: queue.rows[0][-1])
                    queue.node.take(queue.port, queue.rows.popleft())
            for queue in self.queues:
                queue.rows.extend(queue.coming)
                queue.coming.clear()
                self.crowded |= len(queue.rows) > 1

    def said(self, number: int) -> list[Row]:
        """``(key, value, time)`` of all that a step has said."""
        return [(row[0], row[1], row[-1]) for row in self.last[number].out]

    def _queue(self, node: Node, port: int, *, null_keys: bool) -> Queue:
        self.queues.append(queue := Queue(node, port, null_keys=null_keys))
        return queue

    def _join(self, parent: Node, child: Node, port: int) -> None:
        parent.children.append((child, port))
        together = parent.task | child.task
        for node in together:
            node.task = together


def _patience(program: list[Step], step: Step) -> int:
    """How long after its end a window above still takes records."""
    parent = program[step.parents[0]]
    while WORDS[parent.word].takes != "S":
        parent = program[parent.parents[0]]
    _, b, c = parent.chance
    return 5 * parent.chance[0] + 1 + 7 * b if parent.word.startswith("session") else 7 * c
