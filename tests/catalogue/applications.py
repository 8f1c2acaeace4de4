"""The example applications, each written as its user would write it. The catalogue says what they must answer.

An application is a function of its options. Values of the originals are Avro or
JSON; here they are JSON, as dataclasses.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streamflow import App, Windowed, serdes, tumbling


@dataclass
class City:
    city_id: int
    name: str
    state: str


def add_key_to_source() -> App:
    app = App("add-key")
    app.stream("cities", key=str, value=City).select_key(lambda city: city.city_id, key=int).to("cities_keyed")
    return app


@dataclass
class Rating:
    id: str
    rating: float


@dataclass
class CountAndSum:
    count: int = 0
    sum: float = 0.0


def aggregating_average() -> App:
    app = App("average")
    averages = (
        app.stream("average-input", key=str, value=Rating)
        .map(lambda rating: (rating.id, rating.rating), key=str, value=float)
        .group_by_key()
        .aggregate(CountAndSum, lambda total, r: CountAndSum(total.count + 1, total.sum + r), name="totals")
        .map_values(lambda total: total.sum / total.count, value=float)
    )
    averages.to_stream().to("average-output")
    return app


@dataclass
class TicketSale:
    title: str
    ticketTotalValue: int


def aggregating_count() -> App:
    app = App("tickets")
    sales = app.stream("aggregation-count-input", key=str, value=TicketSale)
    sold = sales.map(lambda sale: (sale.title, sale.ticketTotalValue), key=str, value=serdes.int32).group_by_key()
    sentences = sold.count(name="tickets").to_stream().map_values(lambda count: f"{count} tickets sold", value=str)
    sentences.to("aggregation-count-output")
    return app


@dataclass
class FilmSales:
    title: str
    releaseYear: int
    totalSales: int


@dataclass
class YearlySales:
    releaseYear: int = 0
    minTotalSales: int = 2**31 - 1
    maxTotalSales: int = -(2**31)


def aggregating_minmax() -> App:
    app = App("minmax")

    def take(year: int, total: YearlySales, film: FilmSales) -> YearlySales:
        sales = film.totalSales
        return YearlySales(year, min(sales, total.minTotalSales), max(sales, total.maxTotalSales))

    films = app.stream("min-max-input", key=str, value=FilmSales)
    by_year = films.group_by(lambda film: film.releaseYear, key=serdes.int32)
    by_year.aggregate(YearlySales, take, name="sales").to_stream().to("min-max-output")
    return app


def application_reset() -> App:
    app = App("reset")
    lines = app.stream("my-input-topic", key=str, value=str)
    first_words = lines.select_key(lambda line: line.split(" ")[0], key=str)
    first_words.group_by_key().count(name="count").to_stream().to("my-output-topic")
    return app


def clicks_per_region() -> App:
    app = App("clicks")
    regions = app.table("user-regions", key=str, value=str)
    clicks = app.stream("user-clicks", key=str, value=int)
    per_region = (
        clicks.left_join(regions, lambda clicks, region: (region or "UNKNOWN", clicks), value=tuple[str, int])
        .map(lambda pair: pair, key=str, value=int)
        .group_by_key()
        .reduce(lambda a, b: a + b, name="clicks-per-region")
    )
    per_region.to_stream().to("output-topic")
    return app


def corrupted_input() -> App:
    def doubled(key: bytes | None, value: bytes) -> list[tuple[str | None, int]]:
        try:
            return [(None if key is None else key.decode(), 2 * struct.unpack(">q", value)[0])]
        except (UnicodeDecodeError, struct.error):
            return []

    app = App("corrupted")
    app.stream("inputTopic").flat_map(doubled, key=str, value=int).to("outputTopic")
    return app


def dead_letter_queue() -> App:
    def checked(text: str) -> str:
        event = json.loads(text)
        if not isinstance(event["sport"], str) or event.get("ball") is None:
            raise ValueError("no ball")
        return text

    app = App("sports", on_process_error="dead_letter", dead_letter_topic="dlq-topic")
    app.stream("input", key=str, value=str).map_values(checked).to("output")
    return app


@dataclass
class Order:
    id: int
    sku: str
    name: str
    quantity: int


@dataclass
class CompletedOrder:
    id: str
    name: str
    amount: float


def dynamic_output_topic() -> App:
    def complete(order: Order) -> CompletedOrder:
        return CompletedOrder(f"{order.id}-{order.sku}", order.name, order.quantity * 0.467423)

    def topic(key: str, order: CompletedOrder, context: Any) -> str:
        special = order.id[order.id.index("-") + 1 : 5] == "QUA"
        return "special-order-output" if special else "dynamic-topic-output"

    app = App("dynamic")
    app.stream("dynamic-topic-input", key=str, value=Order).map_values(complete).to(topic)
    return app


def error_handling_uncaught() -> App:
    calls = 0

    def sometimes(text: str) -> str:
        nonlocal calls
        calls += 1
        if calls in (2, 8, 15):
            raise RuntimeError("it went wrong")
        return text.upper()

    app = App("uncaught")
    app.stream("input_topic", key=str, value=str).map_values(sometimes).to("output_topic")
    return app


@dataclass
class Book:
    name: str
    title: str


def filtering() -> App:
    app = App("books")
    books = app.stream("filtering-input", key=str, value=Book)
    books.filter(lambda book: book.name == "George R. R. Martin").to("filtering-output")
    return app


def map_function() -> App:
    app = App("upper")
    app.stream("inputTopic", value=str).map_values(str.upper, value=str).to("outputTopic")
    return app


@dataclass
class Song:
    artist: str
    title: str


def merging() -> App:
    app = App("songs")
    rock, classical = (app.stream(f"{kind}-input", key=str, value=Song) for kind in ("rock", "classical"))
    rock.merge(classical).to("all-music-output")
    return app


@dataclass
class Purchase:
    id: str
    customerId: int
    state: str
    product: str | None
    quantity: int
    price: float


@dataclass
class OrderValidation:
    orderId: str
    checkType: str
    validationResult: str


def order_details_service() -> App:
    def check(order: Purchase) -> OrderValidation:
        wrong = order.quantity < 0 or order.price < 0 or order.product is None
        return OrderValidation(order.id, "ORDER_DETAILS_CHECK", "FAIL" if wrong else "PASS")

    app = App("order-details")
    orders = app.stream("orders", key=str, value=Purchase).filter(lambda order: order.state == "CREATED")
    orders.map_values(check).to("order-validations")
    return app


def orders_service_http() -> App:
    seen: list[Any] = []
    app = App("orders")
    table = app.table("orders", key=str, value=Purchase, store="orders-store")
    table.to_stream().foreach(lambda key, order: seen.append((key, order)))
    app.seen = seen  # type: ignore[attr-defined]
    return app


def pass_through() -> App:
    app = App("copy")
    app.stream("inputTopic", key=str, value=str).to("outputTopic")
    return app


def streams_to_table() -> App:
    app = App("both")
    app.stream("input-topic", key=str, value=str).to("streams-output-topic")
    app.stream("input-topic", key=str, value=str).to_table(name="table").to_stream().to("table-output-topic")
    return app


def sum_of_odd_numbers() -> App:
    app = App("odd")
    odd = app.stream("numbers-topic", key=serdes.int32, value=serdes.int32).filter(lambda n: n % 2 != 0)
    total = odd.select_key(lambda n: 1, key=serdes.int32).group_by_key().reduce(lambda a, b: a + b, name="sum")
    total.to_stream().to("sum-of-odd-numbers-topic")
    return app


@dataclass
class PageView:
    user: str
    page: str
    industry: str
    flags: str | None = None


@dataclass(frozen=True)
class Article:
    user: str
    page: str
    industry: str


@dataclass
class Views:
    page: str
    user: str
    industry: str
    count: int


def top_articles_per_industry() -> App:
    def article(view: PageView) -> tuple[Article, Article]:
        found = Article("user", view.page, view.industry)
        return found, found

    def regroup(window: Windowed[Article], count: int) -> tuple[Windowed[str], Views]:
        page = window.key
        return window._replace(key=page.industry), Views(page.page, "user", page.industry, count)  # type: ignore[return-value]

    def add(ranking: list[Views], views: Views) -> list[Views]:
        return sorted([*ranking, views], key=lambda each: -each.count)

    def remove(ranking: list[Views], views: Views) -> list[Views]:
        ranking.remove(views)
        return ranking

    app = App("top-articles")
    views = app.stream("PageViews", value=PageView).filter(lambda view: "ARTICLE" in (view.flags or ""))
    counts = views.map(article).group_by_key().windowed_by(tumbling("1h")).count(name="views")
    ranked = counts.group_by(regroup, key=serdes.windowed(str, "1h")).aggregate(
        list[Views], add, remove, value=list[Views], name="ranking"
    )
    pages = ranked.map_values(lambda top: "".join(f"{each.page}\n" for each in top[:100]), value=str)
    pages.to_stream().to("TopNewsPerIndustry")
    return app


@dataclass
class RawMovie:
    id: int
    title: str
    genre: str


@dataclass
class Movie:
    id: int
    title: str
    release_year: int
    genre: str


def transforming() -> App:
    def parsed(raw: RawMovie) -> tuple[int, Movie]:
        title, year = raw.title.split("::")
        return raw.id, Movie(raw.id, title, int(year), raw.genre)

    app = App("movies")
    app.stream("raw-movies", key=str, value=RawMovie).map(parsed).to("movies")
    return app


def users_per_region() -> App:
    app = App("regions")
    users = app.table("input-topic", key=str, value=str)
    users.group_by(lambda region: (region, region), key=str, value=str).count(name="n").to_stream().to("output-topic")
    return app


@dataclass
class Edit:
    user: str
    is_new: bool
    content: str | None = None


def wikipedia_feed() -> App:
    app = App("wikipedia")
    pages = app.stream("WikipediaFeed", key=str, value=Edit).filter(lambda edit: edit.is_new)
    by_user = pages.map(lambda edit: (edit.user, edit), key=str, value=Edit).group_by_key()
    by_user.count(name="pages").to_stream().to("WikipediaStats")
    return app


@dataclass
class PressureAlert:
    id: str
    dateTime: str
    pressure: int


def alert_time(alert: PressureAlert) -> datetime | None:
    """When it happened, or None for a text that is no time: the record is dropped then."""
    try:
        return datetime.strptime(alert.dateTime, "%Y-%m-%dT%H:%M:%S.%z")
    except ValueError:
        return None


def window_final_result() -> App:
    app = App("pressure")
    alerts = app.stream("final-result-input", key=str, value=PressureAlert, timestamp=alert_time)
    windows = (
        alerts.select_key(lambda alert: alert.id, key=str).group_by_key().windowed_by(tumbling("10s", grace="20s"))
    )
    counts = windows.count(emit="on_close", name="alerts").to_stream()
    counts.map_values(lambda count: count, value=serdes.int32).to("final-result-output")
    return app


def word_count_interactive_queries() -> App:
    app = App("words")
    lines = app.stream("TextLinesTopic", key=str, value=str)
    words = lines.flat_map_values(lambda line: re.split(r"\W+", line.lower(), flags=re.ASCII), value=str)
    grouped = words.group_by(lambda word: word, key=str)
    grouped.count(store="word-count")
    grouped.windowed_by(tumbling("1m")).count(store="windowed-word-count")
    return app


def naming_internal_topics(*, add_filter: bool, add_names: bool, style: Any = "stable") -> App:
    """Without its stream-stream join, which this version does not have; the names in question are not its own."""
    app = App("naming", naming=style)
    stream = app.stream("input-topic", key=int, value=str).select_key(lambda value: int(value[0]), key=int)
    if add_filter:
        stream = stream.filter(lambda key, value: key != 100)
    grouped = stream.group_by_key(name="count" if add_names else None)
    counts = grouped.count(store="the-counting-store" if add_names else None).to_stream()
    counts.map(lambda key, count: (str(key), str(count)), key=str, value=str).to("output-topic")
    return app


APPLICATIONS: dict[str, Callable[[], App]] = {
    "add-key-to-source": add_key_to_source,
    "aggregating-average": aggregating_average,
    "aggregating-count": aggregating_count,
    "aggregating-minmax": aggregating_minmax,
    "application-reset": application_reset,
    "clicks-per-region": clicks_per_region,
    "corrupted-input": corrupted_input,
    "dead-letter-queue": dead_letter_queue,
    "dynamic-output-topic": dynamic_output_topic,
    "error-handling-uncaught": error_handling_uncaught,
    "filtering": filtering,
    "map-function": map_function,
    "merging": merging,
    "order-details-service": order_details_service,
    "orders-service-http": orders_service_http,
    "pass-through": pass_through,
    "streams-to-table": streams_to_table,
    "sum-of-odd-numbers": sum_of_odd_numbers,
    "top-articles-per-industry": top_articles_per_industry,
    "transforming": transforming,
    "users-per-region": users_per_region,
    "wikipedia-feed": wikipedia_feed,
    "window-final-result": window_final_result,
    "word-count-interactive-queries": word_count_interactive_queries,
}
"""By the name of its file in the catalogue."""
