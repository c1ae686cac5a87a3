"""Merge patches (RFC 7386)."""

from __future__ import annotations

from typing import Any

Json = Any


def merge_patch(document: Json, patch: Json) -> Json:
    """RFC 7386: members of the patch replace those of the document, null removes them, lists are replaced whole."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
