"""Dead letters on the page. Each letter that is sent again here is refused again, so as many wait as before."""

from __future__ import annotations

from tests.browser.looking import Look, Shop, hidden, holds, reads
from tests.browser.needed import CHROMIUM
from tests.cli.shell import until

assert CHROMIUM


def waiting(shop: Shop) -> int:
    count: int = shop.ask("/dead-letters?pending=1&limit=1")["count"]
    return count


def spoil(shop: Shop, look: Look, count: int) -> int:
    """Have so many orders refused, and the page show letters; gives how many wait."""
    expected = waiting(shop) + count
    shop.shell.good("produce", "orders", "--key-separator", ":", text="k1:bad\n" * count)
    until(lambda: waiting(shop) == expected, lambda: shop.running.err)
    look.page.click("#letter-form button >> nth=0")
    holds(look.page, "#letters-say", f"{expected:,} letters wait")
    return expected


def test_a_letter_is_shown_with_its_reason_and_sent_again(shop: Shop, look: Look) -> None:
    page, count = look.page, spoil(shop, look, 1)
    cells = page.locator("#letter-rows tr >> nth=-1").locator("td").all_text_contents()
    assert cells[2] == "long-orders"
    assert "ZeroDivisionError" in cells[3]
    assert cells[4:6] == ["k1", "bad"]
    page.click("#letter-rows tr >> nth=-1 >> button")
    holds(page, "#letters-say", "1 sent again")
    until(lambda: waiting(shop) == count, lambda: shop.running.err)


def test_those_in_sight_are_sent_again_when_somebody_says_yes_and_no_others(shop: Shop, look: Look) -> None:
    page, count = look.page, spoil(shop, look, 120)
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    reads(page, "#replay-shown", "Send these 100 again")
    page.click("#replay-shown")
    holds(page, "#sure", "Send these 100 again?")
    page.keyboard.press("Enter")  # which is No
    hidden(page, "#sure")
    page.click("#replay-shown")
    page.keyboard.press("Escape")
    hidden(page, "#sure")
    assert not posted
    page.click("#replay-shown")
    page.click("#sure button[value=yes]")
    holds(page, "#letters-say", "100 sent again")
    assert len(posted) == 1
    until(lambda: waiting(shop) == count, lambda: shop.running.err)


def test_all_are_sent_again_when_the_number_of_all_was_confirmed(shop: Shop, look: Look) -> None:
    page, count = look.page, spoil(shop, look, 101)
    page.click("#replay-all")
    holds(page, "#sure", f"Send all {count:,} again, also those that are not shown?")
    page.click("#sure button[value=yes]")
    holds(page, "#letters-say", f"{count:,} sent again")
    until(lambda: waiting(shop) == count, lambda: shop.running.err)
