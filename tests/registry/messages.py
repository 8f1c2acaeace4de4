"""Protobuf messages of the tests, made without a compiler: ``orders.proto`` imports ``items.proto``."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto


def _message(of: Any, name: str, *fields: tuple[str, int, int, str]) -> Any:
    message = of.add(name=name)
    for number, (field, kind, label, type_name) in enumerate(fields, 1):
        message.field.add(name=field, number=number, type=kind, label=label, type_name=type_name or None)
    return message


_pool = descriptor_pool.DescriptorPool()
_items = descriptor_pb2.FileDescriptorProto(name="items.proto", package="shop", syntax="proto3")
_message(
    _items.message_type,
    "Item",
    ("name", FIELD.TYPE_STRING, FIELD.LABEL_OPTIONAL, ""),
    ("count", FIELD.TYPE_INT32, FIELD.LABEL_OPTIONAL, ""),
)
_pool.Add(_items)
_orders = descriptor_pb2.FileDescriptorProto(
    name="orders.proto", package="shop", syntax="proto3", dependency=["items.proto"]
)
_message(
    _orders.message_type,
    "Order",
    ("id", FIELD.TYPE_INT64, FIELD.LABEL_OPTIONAL, ""),
    ("items", FIELD.TYPE_MESSAGE, FIELD.LABEL_REPEATED, ".shop.Item"),
)
_outer = _message(_orders.message_type, "Outer")
_message(_outer.nested_type, "Nested", ("text", FIELD.TYPE_STRING, FIELD.LABEL_OPTIONAL, ""))
_pool.Add(_orders)


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(name))


Item, Order, Nested = _class("shop.Item"), _class("shop.Order"), _class("shop.Outer.Nested")
