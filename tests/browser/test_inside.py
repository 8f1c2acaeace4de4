"""Looking into stores and topics."""

from __future__ import annotations

from tests.browser.looking import EXACT, Look, Shop, holds, reads
from tests.browser.needed import CHROMIUM

assert CHROMIUM


def test_a_key_brings_its_row(shop: Shop, look: Look) -> None:
    page = look.page
    page.select_option("#store", "counts")
    page.fill("#key", "k3")
    page.click("#store-form button >> nth=0")
    reads(page, "#rows-say", "1 rows")
    row = shop.ask("/stores/counts/keys/k3")
    assert page.locator("#rows td").all_text_contents()[:2] == ["k3", str(row["value"])]


def test_the_records_of_a_partition_are_those_the_worker_tells(shop: Shop, look: Look) -> None:
    page = look.page
    page.select_option("#topic", "orders")
    page.fill("#partition", "1")
    page.click("#topic-form button")
    page.wait_for_selector("#records tr")
    newest = shop.ask("/topics/orders/records?partition=1&limit=100")["records"]
    assert page.locator("#records tr").count() == len(newest)
    assert not look.said


def test_numbers_keep_every_digit_in_rows_and_in_records(look: Look) -> None:
    page = look.page
    page.select_option("#store", "amounts")
    page.click("#store-form button >> nth=0")
    reads(page, "#rows-say", "1 rows")
    assert page.locator("#rows td").all_text_contents()[:2] == ["a", EXACT]
    page.select_option("#topic", "amounts")
    page.click("#topic-form button")
    reads(page, "#records-say", "1 records")
    assert page.locator("#records td").all_text_contents()[4] == EXACT


def test_rows_are_asked_from_a_key_to_a_key_and_by_what_keys_begin_with(look: Look) -> None:
    page = look.page
    page.select_option("#store", "users")
    page.fill("#key-from", "u10")
    page.fill("#key-to", "u12")
    page.click("#store-form button >> nth=0")
    reads(page, "#rows-say", "23 rows")
    page.fill("#key-from", "")
    page.fill("#key-to", "")
    page.fill("#key-prefix", "u29")
    page.click("#store-form button >> nth=0")
    reads(page, "#rows-say", "11 rows")


def test_next_rows_go_on_with_the_question_they_came_with(look: Look) -> None:
    page = look.page
    page.select_option("#store", "users")
    page.fill("#key-prefix", "u1")
    page.click("#store-form button >> nth=0")
    reads(page, "#rows-say", "100 rows")
    page.fill("#key-prefix", "something else")
    page.click("#more")
    reads(page, "#rows-say", "11 rows")
    assert all(key.startswith("u1") for key in page.locator("#rows td:first-child").all_text_contents())


def test_windows_are_asked_by_key_and_time(look: Look) -> None:
    page = look.page
    page.select_option("#store", "per-minute")
    assert not page.is_visible("#key-prefix")
    page.click("#store-form button >> nth=0")
    reads(page, "#rows-say", "a store of windows is asked by key")
    page.fill("#key", "k1")
    page.fill("#time-from", "2020-01-01 00:00")
    page.click("#store-form button >> nth=0")
    page.wait_for_selector("#rows td")
    page.fill("#time-to", "2020-01-02")
    page.click("#store-form button >> nth=0")
    reads(page, "#rows-say", "no row")
    page.fill("#time-to", "tomorrow")
    page.click("#store-form button >> nth=0")
    holds(page, "#rows-say", "tomorrow is no time")


def test_a_versioned_row_is_asked_as_of_a_time(look: Look) -> None:
    page = look.page
    page.select_option("#store", "prices")
    page.fill("#key", "tea")
    page.click("#store-form button >> nth=0")
    reads(page, "#rows-say", "1 rows")
    assert page.locator("#rows td").all_text_contents()[1] == "4"
    page.fill("#as-of", "1970-01-01 00:00:03")
    page.click("#store-form button >> nth=0")
    reads(page, "#rows td >> nth=1", "3")
