"""What is wrong with a patch."""

from __future__ import annotations


class PatchError(ValueError):
    """A patch that cannot be applied. `code` is what the API answers with."""

    code = 422


class MalformedPatch(PatchError):
    """A patch that is none, whatever it were applied to."""

    code = 400


class TooManyOperations(PatchError):
    """A JSON patch with more operations than the server takes."""

    code = 413
