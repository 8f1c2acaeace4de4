"""Ranks the articles of every industry by views per hour."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App, Windowed, serdes, tumbling


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


def build() -> App:
    def article(view: PageView) -> tuple[Article, Article]:
        found = Article("user", view.page, view.industry)
        return found, found

    def regroup(window: Windowed[Article], count: int) -> tuple[Windowed[str], Views]:
        page = window.key
        return Windowed(page.industry, window.start, window.end), Views(page.page, "user", page.industry, count)

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


app = build()
