"""A year of flights out of New York: how late they left, from where, with whom, and in which aircraft.

Three topics come in: ``flights`` (keyed by carrier), ``airlines`` (by carrier) and ``planes`` (by tail number).
Event time is the scheduled departure.
"""

from dataclasses import dataclass, replace

from streamflow import App, tumbling

app = App("flights")


@dataclass(frozen=True)
class Flight:
    carrier: str
    number: int
    tail: str | None
    origin: str
    dest: str
    delay: int | None
    """Minutes late at departure, negative for early; None for a cancelled flight."""


@dataclass(frozen=True)
class Airline:
    name: str


@dataclass(frozen=True)
class Plane:
    maker: str
    model: str
    seats: int


@dataclass(frozen=True)
class Departure:
    airline: str
    number: int
    tail: str
    origin: str
    dest: str
    delay: int
    plane: str | None = None


@dataclass(frozen=True)
class Delay:
    """What is kept per airport and hour, and per airline."""

    flights: int = 0
    minutes: int = 0

    def add(self, departure: Departure) -> "Delay":
        return Delay(self.flights + 1, self.minutes + departure.delay)


@dataclass(frozen=True)
class Aircraft:
    flights: int = 0
    minutes: int = 0
    plane: str | None = None

    def add(self, departure: Departure) -> "Aircraft":
        return Aircraft(self.flights + 1, self.minutes + departure.delay, departure.plane)


@dataclass(frozen=True)
class Mean:
    flights: int
    delay: float


def departed(flight: Flight, airline: Airline) -> Departure:
    assert flight.tail is not None and flight.delay is not None
    return Departure(airline.name, flight.number, flight.tail, flight.origin, flight.dest, flight.delay)


def aboard(departure: Departure, plane: Plane | None) -> Departure:
    return replace(departure, plane=f"{plane.maker} {plane.model}") if plane else departure


def mean(delay: Delay) -> Mean:
    return Mean(delay.flights, round(delay.minutes / delay.flights, 2))


airlines = app.table("airlines", key=str, value=Airline)
planes = app.table("planes", key=str, value=Plane)
departures = (
    app.stream("flights", key=str, value=Flight)
    .filter(lambda flight: flight.delay is not None and flight.tail is not None)
    .join(airlines, departed, value=Departure)
)

by_airline = departures.group_by_key().aggregate(Delay, Delay.add, value=Delay, name="airline-delays")
by_airline.to_stream().map_values(mean).to("airline-delays")

# The partitions of a topic are read each at its own pace: with a year to catch up on, one may be months ahead of
# another. The grace says how far behind still counts.
by_hour = (
    departures.group_by(lambda departure: departure.origin, key=str, name="by-origin")
    .windowed_by(tumbling("1h", grace="366d"))
    .aggregate(Delay, Delay.add, value=Delay, name="hourly-delays")
)
by_hour.to_stream().map_values(mean).to("hourly-delays")

flown = (
    departures.select_key(lambda departure: departure.tail, key=str)
    .repartition(name="by-tail")
    .left_join(planes, aboard, value=Departure)
)
flown.to("departures")
flown.group_by_key().aggregate(Aircraft, Aircraft.add, value=Aircraft, name="aircraft").to_stream().to("aircraft")
