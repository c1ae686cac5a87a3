"""Sets of completion indexes as a Job's status writes them: `0-2,5`.

Upstream: pkg/controller/job/indexed_job_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fairlead.objects.core_v1 import Pod

ANNOTATION = "batch.kubernetes.io/job-completion-index"
"""The index of a pod; a label of the same name has it too."""


def parse(text: str, completions: int) -> set[int]:
    """The indexes below `completions` in a text; what cannot be read is left out."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first.isdecimal() and (not last or last.isdecimal()):
            found.update(range(int(first), min(int(last or first) + 1, completions)))
    return {index for index in found if index < completions}


def text_of(indexes: Iterable[int]) -> str:
    """The indexes in order, three and more in a row as a span."""
    parts: list[str] = []
    for first, last in _spans(indexes):
        if last - first >= 2:
            parts.append(f"{first}-{last}")
        else:
            parts.extend(str(index) for index in range(first, last + 1))
    return ",".join(parts)


def _spans(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = -2
    for index in sorted(set(indexes)):
        if index == last + 1:
            last = index
            continue
        if first >= 0:
            yield first, last
        first = last = index
    if first >= 0:
        yield first, last


def index_of(pod: Pod) -> int | None:
    """The completion index of a pod; None if it has none that can be read."""
    text = pod.metadata.annotations.get(ANNOTATION, "")
    return int(text) if text.isdecimal() else None
