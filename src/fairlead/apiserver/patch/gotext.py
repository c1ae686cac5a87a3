"""JSON values as Go prints them (`%v`), which is how they stand in upstream's messages."""

from __future__ import annotations

from typing import Any

import msgspec


def go_text(value: Any) -> str:
    """Such as `map[a:1 b:[x y]]`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{name}:{go_text(value[name])}" for name in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    if value is None:
        return "<nil>"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def go_type(value: Any) -> str:
    """The type that Go's decoder gives a value."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    if value is None:
        return "<nil>"
    return {bool: "bool", int: "int64", float: "float64", str: "string"}[type(value)]
