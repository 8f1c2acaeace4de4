"""Counts new pages per user."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


@dataclass
class Edit:
    user: str
    is_new: bool
    content: str | None = None


def build() -> App:
    app = App("wikipedia")
    pages = app.stream("WikipediaFeed", key=str, value=Edit).filter(lambda edit: edit.is_new)
    by_user = pages.map(lambda edit: (edit.user, edit), key=str, value=Edit).group_by_key()
    by_user.count(name="pages").to_stream().to("WikipediaStats")
    return app


app = build()
