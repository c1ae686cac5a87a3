"""Patches: JSON patch (RFC 6902), merge patch (RFC 7386), Kubernetes' strategic merge patch.

All work on plain JSON values, and leave what they are given as it was.
"""

from fairlead.apiserver.patch.errors import MalformedPatch, PatchError, TooManyOperations
from fairlead.apiserver.patch.merge import merge_patch
from fairlead.apiserver.patch.operations import json_patch
from fairlead.apiserver.patch.strategic import strategic_merge

__all__ = [
    "MalformedPatch",
    "PatchError",
    "TooManyOperations",
    "json_patch",
    "merge_patch",
    "strategic_merge",
]
