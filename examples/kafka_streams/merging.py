"""Merges two song streams into one."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


@dataclass
class Song:
    artist: str
    title: str


def build() -> App:
    app = App("songs")
    rock, classical = (app.stream(f"{kind}-input", key=str, value=Song) for kind in ("rock", "classical"))
    rock.merge(classical).to("all-music-output")
    return app


app = build()
