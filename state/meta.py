"""What a store knows about itself: whose it is and which commit of its task it reflects.

The record stands in two places. In the base it is written in the same batch as
the rows, so rows and position cannot disagree. In one designated changelog of
the task it is a record of every commit, without the fields that are a
store's own; there it tells the next owner where to go on.
"""

from __future__ import annotations

import secrets

import msgspec

from streamflow.errors import StateError

FORMAT = 1


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """One commit of a task. Times are milliseconds since the epoch; ``written_at`` is the wall clock of the commit.

    ``inputs`` are the next offsets of all inputs, ``incarnation`` names the life of the changelog, ``commit_id``
    is kept by the log under ``commit_seq``. ``store``, ``position`` (the changelog position that is reflected),
    ``flushing_to`` (a larger position that is half written down: the rows are then no prefix of the changelog
    and everything from ``position`` on is to be put again), ``observed`` and ``sequence`` (the greatest window
    start and the next sequence number), ``segment_ms`` (how its windows lie together on disk; 0: it has none) and
    ``witness_seq`` with ``witness_id`` (the newest commit that any row may be of) are a store's own and stay out
    of the changelog.

    >>> meta = Meta(app_id="shop", changelog="shop-counts-changelog", partition=0, inputs={"orders": {0: 7}})
    >>> decode(encode(meta)) == meta
    True
    """

    format: int = FORMAT
    app_id: str
    store: str = ""
    changelog: str
    partition: int
    incarnation: str = ""
    commit_seq: int = 0
    commit_id: bytes = b""
    inputs: dict[str, dict[int, int]] = {}
    stream_times: dict[str, int] = {}
    position: int = 0
    written_at: int = 0
    fingerprint: str = ""
    flushing_to: int | None = None
    observed: int = -1
    sequence: int = 0
    segment_ms: int = 0
    witness_seq: int = 0
    witness_id: bytes = b""


def encode(meta: Meta) -> bytes:
    """The record as msgpack."""
    return _encode(meta)


def decode(data: bytes) -> Meta:
    """Raises `StateError` for bytes that are no meta record of this format."""
    try:
        version = _version(data).format
        if version == FORMAT:
            return _decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise StateError(f"a meta record cannot be read ({error})") from error
    raise StateError(f"a meta record has format {version}, this version reads {FORMAT}")


def for_changelog(meta: Meta) -> Meta:
    """The same commit without what is one store's own."""
    return msgspec.structs.replace(
        meta,
        store="",
        position=0,
        flushing_to=None,
        observed=-1,
        sequence=0,
        segment_ms=0,
        witness_seq=0,
        witness_id=b"",
    )


def new_incarnation() -> str:
    """A name for a changelog's life that no other one has."""
    return secrets.token_hex(8)


class _Version(msgspec.Struct):
    format: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Meta).decode
_version = msgspec.msgpack.Decoder(_Version).decode
