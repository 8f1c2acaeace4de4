"""Draws docs/pages/picture.svg: what one commit ties together. `python docs/picture.py > docs/pages/picture.svg`."""

from __future__ import annotations

INK, SOFT, WARM = "#1f2933", "#eef2f7", "#f6c453"


def box(x: int, y: int, w: int, h: int, *lines: str, fill: str = SOFT) -> str:
    """A rounded box with centred lines of text, the first of them bold."""
    top = y + h / 2 - 9 * (len(lines) - 1) + 5
    weights = ["600", *["400"] * (len(lines) - 1)]
    words = "".join(
        f'<text x="{x + w / 2}" y="{top + 18 * n}" font-weight="{weight}">{line}</text>'
        for n, (line, weight) in enumerate(zip(lines, weights, strict=True))
    )
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="{fill}" stroke="{INK}"/>{words}'


def arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<path d="M{x1} {y1} L{x2} {y2}" stroke="{INK}" stroke-width="1.5" marker-end="url(#a)"/>'


def label(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}" font-size="12" fill="#52606d">{text}</text>'


def picture() -> str:
    parts = [
        '<rect x="196" y="28" width="368" height="264" rx="14" fill="#fff" stroke="#9aa5b1" stroke-dasharray="5 4"/>',
        label(380, 20, "a worker; start more of them and they share the tasks"),
        box(20, 60, 140, 56, "input topics", "lines, orders, ..."),
        box(220, 52, 200, 72, "task", "your functions, fused;", "one per partition", fill=WARM),
        box(220, 192, 200, 72, "store", "what is committed, in", "RocksDB or in memory"),
        box(600, 52, 160, 56, "output topics", "counts, ..."),
        box(600, 132, 160, 56, "changelog", "each change of state"),
        box(600, 212, 160, 56, "input offsets", "what has been read"),
        box(446, 52, 96, 216, "commit", "all three", "or none", fill=WARM),
        arrow(160, 88, 218, 88),
        arrow(420, 88, 444, 88),
        arrow(542, 80, 598, 80),
        arrow(542, 160, 598, 160),
        arrow(542, 240, 598, 240),
        arrow(444, 228, 422, 228),
        arrow(300, 190, 300, 126),
        label(320, 162, "reads"),
        label(680, 290, "the log: topics on disk"),
        label(320, 284, "written after the log said yes"),
    ]
    head = '<marker id="a" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 324" font-family="sans-serif" font-size="13" '
        f'text-anchor="middle" fill="{INK}" role="img"><title>What one commit ties together</title>'
        '<rect width="780" height="324" fill="#fff"/>'
        f'<defs>{head}<path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>{"".join(parts)}</svg>'
    )


if __name__ == "__main__":
    print(picture())
