"""Programs made up at random, run by Kafka Streams' own test driver and by the plain definitions.

    make reference CASES=300

Where the two are meant to differ (a decision against a defect of the reference, or an order that nobody promises), a
program is changed until they are not, or only its rows in the end are compared:

    null values    windows drop them here and count there, so the programs there drop them in front of windows
    sessions       an update of a session that stays the same one says a tombstone first there
    late rows      of sessions and of joins of streams have rules of their own here, so such programs see no disorder
    table joins    of tables that come from one table say rows twice there
    old values     the first change of an aggregate names its initial total there, and a suppressed one what it was when it
                   last changed; here both name what was said last, which is what must be taken away again (a join with a
                   suppressed table finds it without its time, too)
    merge          of a stream with itself says each record once there
    unmatched rows of joins of streams may come out later there, with some later record; so each stream ends with one
    no time at all in a join of streams keeps no records there
    order          one task there takes all topics by time, so where keys change before things meet rows may overtake
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from streamflow import Windowed
from tests.differential.plainly import Plainly
from tests.differential.programs import WORDS, Step, flat
from tests.kafka.broker import jars, missing

SOURCE = Path(__file__).parent / "java" / "Programs.java"
KEYS = ["a", "b", "x", "y", "ab"]
ABSENT = ("deduplicate", "custom", "custom_final")
ORDERLY = ("session", "session_final", "stream_left", "stream_outer", "stream_inner")
TABLE_JOINS = ("table_inner", "table_left", "table_outer", "foreign_inner", "foreign_left")
STREAM_JOINS = ("stream_inner", "stream_left", "stream_outer")
OLD_VALUES = (
    "regroup_sum",
    "regroup_count",
    "table_inner",
    "table_left",
    "table_outer",
    "stream_table_inner",
    "stream_table_left",
)
ODD_OLD_VALUES = ("count", "aggregate", "cogroup", "suppress")
MANY = 1_000
Record = tuple[int, str | None, int | None, int]


def program_of(rng: random.Random) -> list[Step]:
    """A program that both can run and mean the same by."""
    tables = rng.randint(0, 2)
    program = [Step("stream", (), (0, 0, 0))] * rng.randint(0 if tables else 1, 2)
    program += [Step("table", (), (0, 0, 0))] * tables
    for _ in range(rng.randint(1, 6)):
        for _ in range(30):
            name = rng.choice([name for name in WORDS if name not in ABSENT])
            parents: list[int] = []
            for kind in WORDS[name].takes:
                fitting = [n for n in range(len(program)) if gives(program[n]) == kind and may_follow(program, n)]
                parents += rng.sample(fitting, min(1, len(fitting)))
            if len(parents) < len(WORDS[name].takes):
                continue
            if name in TABLE_JOINS and sources(program, parents[0]) & sources(program, parents[1]):
                continue
            if name == "merge" and parents[0] == parents[1]:
                continue
            if name in OLD_VALUES and any(begins(program, parent) for parent in parents):
                continue
            if name in STREAM_JOINS and any(comes_late(program, parent) for parent in parents):
                continue
            chance = rng.randint(0, 4), rng.randint(0, 4), rng.randint(0, 4)
            if queues([*program, Step(name, tuple(parents), chance)]) >= MANY:
                continue
            if name in STREAM_JOINS:
                chance = chance[0], chance[1], max(1, chance[2])
            program.append(Step(name, tuple(parents), chance))
            break
    return program


def gives(step: Step) -> str:
    return {"stream": "S", "table": "T"}.get(step.word) or WORDS[step.word].gives


def may_follow(program: list[Step], number: int) -> bool:
    """What comes behind rows of which only the last ones, or not the time, are the same is not compared."""
    return not is_loose(program, number) and program[number].word not in ("stream_left", "stream_outer")


def is_loose(program: list[Step], number: int) -> bool:
    step = program[number]
    if step.word in ("stream", "table"):
        return False
    return WORDS[step.word].loose or step.word == "session" or any(is_loose(program, p) for p in step.parents)


def sources(program: list[Step], number: int) -> set[int]:
    return {number}.union(*(sources(program, parent) for parent in program[number].parents))


def begins(program: list[Step], number: int) -> bool:
    """Whether the changes of a table name other old values there."""
    step = program[number]
    if step.word in ODD_OLD_VALUES:
        return True
    return gives(step) == "T" and any(begins(program, parent) for parent in step.parents)


def comes_late(program: list[Step], number: int) -> bool:
    """Whether rows come out when their time is over."""
    step = program[number]
    late = step.word.endswith("_final") or step.word.startswith("suppress")
    return late or any(comes_late(program, parent) for parent in step.parents)


def queues(program: list[Step]) -> int:
    """Through how many repartition topics records go, at most; `MANY` where two of them meet, which may be in any order."""
    rekeyed: list[bool] = []
    count = 0
    for step in program:
        if step.word in ("stream", "table"):
            rekeyed.append(False)
            continue
        word = WORDS[step.word]
        if sum(rekeyed[step.parents[port]] for port in word.gathers) > 1:
            return MANY
        count += word.always + sum(rekeyed[step.parents[port]] for port in word.gathers) + 2 * ("foreign" in step.word)
        stays = not word.gathers and not word.always and word.gives == "S"
        rekeyed.append(word.rekeys or (stays and any(rekeyed[parent] for parent in step.parents)))
    return count


def records_of(rng: random.Random, program: list[Step]) -> list[Record]:
    inputs = [number for number, step in enumerate(program) if step.word in ("stream", "table")]
    records: list[Record] = []
    for _ in range(rng.randint(1, 30)):
        key = None if rng.random() < 0.08 else rng.choice(KEYS)
        value = None if rng.random() < 0.1 else rng.randint(-1, 20)
        records.append((rng.choice(inputs), key, value, rng.randint(0, rng.choice([60, 300]))))
    if any(step.word in ORDERLY for step in program):
        records.sort(key=lambda record: record[3])
        records += [(number, "last", 0, 10_000 * (1 + n)) for n, number in enumerate(2 * inputs)]
    return records


def defined(program: list[Step], records: list[Record]) -> dict[int, list[list[Any]]]:
    plainly = Plainly(program)
    for number, *row in records:
        plainly.pipe(number, tuple(row))
    return {
        number: [
            [flat(key) if isinstance(key, Windowed) else key, value, at] for key, value, at in plainly.said(number)
        ]
        for number, step in enumerate(program)
        if step.word not in ("stream", "table")
    }


def rows(said: list[list[Any]]) -> dict[Any, Any]:
    return {key: value for key, value in {key: value for key, value, _ in said}.items() if value is not None}


def compare(program: list[Step], ours: dict[int, list[list[Any]]], theirs: dict[str, Any]) -> tuple[str, str]:
    """How far they agree, and what differs."""
    if "error" in theirs:
        return "refused", str(theirs["error"])
    level = "row by row"
    for number, said in ours.items():
        told = theirs[f"out{number}"]
        if said == told:
            continue
        if is_loose(program, number):
            if rows(said) != rows(told):
                return "different", f"step {number} {program[number]}: {rows(said)} here, {rows(told)} there"
            level = "in the end" if level == "row by row" else level
        elif (queues(program) > 1 or any(step.word in STREAM_JOINS for step in program)) and sorted(
            map(repr, said)
        ) == sorted(map(repr, told)):
            level = "but for the order"
        else:
            return "different", f"step {number} {program[number]}:\n  here  {said}\n  there {told}"
    return level, ""


class Reference:
    """A Java process that runs programs."""

    def __init__(self, folder: Path) -> None:
        path = f"{jars(artifacts=('kafka-streams', 'kafka-streams-test-utils'), name='streams')}/*"
        subprocess.run(["javac", "-cp", path, "-d", str(folder), str(SOURCE)], check=True)
        command = ["java", "-Xmx512m", "-cp", f"{path}:{folder}", "Programs"]
        self._folder = folder
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def run(self, program: list[Step], records: list[Record]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"program": program, "records": records, "folder": str(self._folder / "state")}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def smaller(reference: Reference, program: list[Step], records: list[Record]) -> tuple[list[Step], list[Record]]:
    """The same difference with less of both."""
    changed = True
    while changed:
        changed = False
        for n in range(len(records)):
            fewer = records[:n] + records[n + 1 :]
            if (
                records[n][1] != "last"
                and compare(program, defined(program, fewer), reference.run(program, fewer))[0] == "different"
            ):
                records, changed = fewer, True
                break
        if not changed and len(program) > 2:
            shorter = program[:-1]
            inputs = {n for n, step in enumerate(shorter) if step.word in ("stream", "table")}
            if {r[0] for r in records} <= inputs and compare(
                shorter, defined(shorter, records), reference.run(shorter, records)
            )[0] == "different":
                program, changed = shorter, True
    return program, records


def main(cases: int, seed: int) -> int:
    if why := missing():
        raise SystemExit(f"THE COMPARISON WITH KAFKA STREAMS IS NOT MADE. {why}")
    print(f"seed {seed}")
    levels: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(Path(folder))
        try:
            for case in range(cases):
                rng = random.Random(f"{seed}/{case}")
                program = program_of(rng)
                records = records_of(rng, program)
                level, why = compare(program, defined(program, records), reference.run(program, records))
                levels[level] += 1
                if level == "different":
                    program, records = smaller(reference, program, records)
                    _, why = compare(program, defined(program, records), reference.run(program, records))
                    print(f"case {case}:")
                    print(
                        "\n".join(f"  {n}: {step.word} {step.parents} {step.chance}" for n, step in enumerate(program))
                    )
                    print(f"  {records}\n  {why}", flush=True)
                elif level == "refused":
                    print(f"case {case} refused: {why}", flush=True)
        finally:
            reference.close()
    print(f"{cases} programs: {dict(levels)}")
    return levels["different"]


if __name__ == "__main__":
    arguments = [int(each) for each in sys.argv[1:]]
    sys.exit(
        min(
            1,
            main(arguments[0] if arguments else 300, arguments[1] if len(arguments) > 1 else random.randrange(1 << 31)),
        )
    )
