"""What is sold to whom: the rows that the tables begin with."""

from __future__ import annotations

PRICES = {
    "apples": 320, "bread": 450, "cheese": 1290, "coffee": 1499, "figs": 799, "honey": 1150,
    "lentils": 379, "oil": 2350, "olives": 690, "pepper": 899, "rice": 540, "saffron": 9900,
}  # fmt: skip
CARD_LIMIT = 30_000


def customers(count: int) -> dict[str, dict[str, object]]:
    """The rows of ``customers``."""
    names = [f"customer-{n}" for n in range(count)]
    return {name: {"name": name.title(), "email": f"{name}@example.org", "card_limit": CARD_LIMIT} for name in names}


def stock(each: int) -> dict[str, int]:
    """The rows of ``stock``; there is little of saffron."""
    return {product: max(1, each // 5) if product == "saffron" else each for product in PRICES}
