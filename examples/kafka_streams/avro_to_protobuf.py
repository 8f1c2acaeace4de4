"""Reads films as Avro and writes them as Protobuf.

``SCHEMA_REGISTRY_URL`` says where their schemas live; without one the values are bare.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from streamflow import App, serdes


@dataclass
class Movie:
    movie_id: int
    title: str
    release_year: int


def _message() -> Any:
    """The class of message ``Movie``, as protoc would make it of three lines of proto3."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="movie.proto", package="films", syntax="proto3")
    movie = file.message_type.add(name="Movie")
    fields = (("movie_id", field.TYPE_INT64), ("title", field.TYPE_STRING), ("release_year", field.TYPE_INT32))
    for number, (name, kind) in enumerate(fields, 1):
        movie.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("films.Movie"))


ProtoMovie = _message()


def build(registry: str | None = os.environ.get("SCHEMA_REGISTRY_URL")) -> App:
    app = App("avro-to-protobuf")
    (
        app.stream("avro-movies", key=int, value=serdes.avro(Movie, registry=registry))
        .map_values(
            lambda movie: ProtoMovie(movie_id=movie.movie_id, title=movie.title, release_year=movie.release_year),
            value=serdes.protobuf(ProtoMovie, registry=registry),
        )
        .to("proto-movies")
    )
    return app


app = build()
