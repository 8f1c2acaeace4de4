"""What `make orders` does: all services, customers in a hurry, `kill -9` among the services, and the proof afterwards."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.status import Status

from examples.orders import clients
from examples.orders.check import check, compare, consume
from examples.orders.rewind import rewind
from examples.orders.system import HOME, STREAMFLOW, System
from streamflow.log.contract import Log
from streamflow.log.open import open_log

TIME_OUT = os.environ.setdefault("ORDERS_TIME_OUT", "15s")  # the services', and so known here
DEADLINE = 300.0  # seconds for the services to do the rest
FRAUD_LIMIT, STRICTER = 60_000, 30_000

console = Console(highlight=False, soft_wrap=True)


def soon_missed(broker: str) -> str:
    """A killed service is missed on Kafka only after its session's time, 45 s unless the URL says otherwise."""
    return f"{broker}?session_timeout=6s" if broker.startswith("kafka") and "?" not in broker else broker


async def strike(system: System, placed: clients.Placed, asked: argparse.Namespace, rng: random.Random) -> list[str]:
    """Kill services, one every so many orders; gives their names. With an outage, one stays away past the time-out."""
    killed: list[str] = []
    turn: list[str] = []
    while len(killed) < asked.kills:
        if len(placed.orders) < (len(killed) + 1) * asked.orders / (asked.kills + 1):
            await asyncio.sleep(0.02)
            continue
        turn = turn or rng.sample(system.names, len(system.names))
        name = turn.pop()
        system.kill(name)
        killed.append(name)
        if name == asked.outage:
            asked.outage = None
            await asyncio.sleep(20)
        system.start(name)
    return killed


async def settle(system: System, log: Log) -> float:
    """Wait until nothing is left to process; gives the seconds."""
    began, quiet = time.monotonic(), 0
    while quiet < 2:  # twice, for a record may be between two looks
        quiet = quiet + 1 if await system.waiting(log) == 0 else 0
        if time.monotonic() - began > DEADLINE:
            raise SystemExit(
                f"{await system.waiting(log)} records are left after {DEADLINE} s; see {system.home}/*.log"
            )
        await asyncio.sleep(0.2)
    return time.monotonic() - began


async def drive(system: System, placed: clients.Placed, asked: argparse.Namespace, status: Status) -> list[str]:
    """Customers and kills, until all is done; gives the names of the killed."""
    log = open_log(system.broker)
    await log.start()
    began = time.monotonic()
    striking = asyncio.ensure_future(strike(system, placed, asked, random.Random(asked.seed)))
    shopping = asyncio.ensure_future(
        clients.place(
            system.url,
            placed,
            count=asked.orders,
            clients=asked.clients,
            customers=max(20, asked.orders // 5),
            seed=asked.seed,
        )
    )
    try:
        while not (striking.done() and shopping.done()):
            await asyncio.wait([striking, shopping], timeout=0.5, return_when=asyncio.FIRST_EXCEPTION)
            for task in (striking, shopping):
                if task.done():
                    task.result()
            status.update(f"{len(placed.orders):,} of {asked.orders:,} orders placed, {placed.seen:,} seen again")
        took = time.monotonic() - began
        console.print(
            f"{len(placed.orders):,} orders placed by {asked.clients} clients in {took:.0f} s, with {placed.tries:,} "
            f"requests; {len(striking.result())} services killed meanwhile"
        )
        status.update("the services do the rest")
        console.print(f"everything processed {await settle(system, log):.1f} s later")
    finally:
        striking.cancel()
        shopping.cancel()
        await log.close()
    return striking.result()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make orders", description="the order system, under fire, and checked")
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=32, help="how many order at the same time")
    parser.add_argument("--kills", type=int, default=24, help="how often a service is killed with kill -9")
    parser.add_argument("--outage", default="inventory", help="this one stays away past the time-out once; none: ''")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--home", type=Path, default=HOME, help="where the log and the state go; emptied first")
    parser.add_argument(
        "--broker", help="a log to run it on, such as kafka://localhost:9092; one of its own if not given"
    )
    parser.add_argument("--port", type=int, default=8080, help="where orders are taken; the view has the next port")
    asked = parser.parse_args()
    home: Path = asked.home.absolute()
    shutil.rmtree(home, ignore_errors=True)
    system = System(home, soon_missed(asked.broker or f"embedded://{home / 'log'}"), asked.port)
    console.print(f"seed {asked.seed}; page, orders and views at {system.url} meanwhile")
    placed = clients.Placed()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the services end, too
    try:
        with console.status("starting the services") as status:
            system.begin(customers=max(20, asked.orders // 5), stock=max(10, asked.orders // 7))
            killed = asyncio.run(drive(system, placed, asked, status))
            codes = system.stop()
            status.update("working everything out again from the topics")
            read = consume(STREAMFLOW, system.broker)
            outcome = check(read, placed.orders, placed.verdicts, FRAUD_LIMIT)
            status.update("rewinding fraud")
            more = compare(outcome, read, rewind(system, STRICTER, len(placed.orders)), STRICTER)
    finally:
        system.abandon()
    wrong = outcome.wrong + placed.unseen
    wrong += [f"{name} ended with {code}: {system.said(name)}" for name, code in codes.items() if code]
    if len(killed) < asked.kills:
        wrong.append(f"only {len(killed)} services were killed")
    if wrong:
        console.print("\n".join(wrong[:20]), style="bold red")
        sys.exit(1)
    refused = ", ".join(f"{count:,} by {name}" for name, count in sorted(outcome.refused.items()))
    console.print(
        f"killed: {', '.join(killed) or 'none'}\n"
        f"one verdict an order: {outcome.accepted:,} accepted, the rest refused ({refused}; {outcome.timed_out:,} timed out)\n"
        f"stock never below zero, and what there was less what was sold is left: {sum(outcome.left.values()):,}\n"
        f"{outcome.accepted:,} payments, none twice; every customer's orders in their order\n"
        f"all {placed.seen:,} orders seen by the GET after their POST; {len(placed.verdicts):,} POSTs waited for the verdict\n"
        f"fraud rewound, with a limit of {STRICTER // 100} in place of {FRAUD_LIMIT // 100}: {more:,} orders more refused, "
        "each as worked out anew",
        style="green",
    )


if __name__ == "__main__":
    main()
