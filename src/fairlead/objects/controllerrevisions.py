"""ControllerRevisions: what is refused. Upstream: pkg/apis/apps/validation."""

from __future__ import annotations

from fairlead.objects import counts, names
from fairlead.objects.apps_v1 import ControllerRevision
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, required


def validate(revision: ControllerRevision, old: ControllerRevision | None = None) -> list[FieldError]:
    """The errors of a revision that is created, or that replaces `old`: its data never changes."""
    errors = validate_metadata_update(revision.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(revision.metadata, names.is_dns1123_subdomain)
    if revision.data is None:
        errors.append(required("data", "data is mandatory"))
    errors += counts.not_negative("revision", revision.revision)
    return errors + (unchanged(revision.data, old.data, "data") if old is not None else [])
