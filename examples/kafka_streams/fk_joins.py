"""Joins a table of track purchases with a table of albums over the album id inside the purchase."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


@dataclass
class Album:
    id: str
    title: str
    genre: str
    artist: str


@dataclass
class TrackPurchase:
    id: str
    songTitle: str
    albumId: str
    price: float


@dataclass
class MusicInterest:
    id: str
    genre: str
    artist: str


def interest(purchase: TrackPurchase, album: Album) -> MusicInterest:
    return MusicInterest(f"{album.id}-{purchase.id}", album.genre, album.artist)


def build() -> App:
    app = App("music")
    albums = app.table("album-input", key=str, value=Album)
    purchases = app.table("track-purchase", key=str, value=TrackPurchase)
    interests = purchases.join(albums, interest, on=lambda purchase: purchase.albumId, name="interests")
    interests.to_stream().to("music-interest")
    return app


app = build()
