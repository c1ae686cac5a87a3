"""Which of a component's controllers run, as kube-controller-manager's `--controllers` says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def choose(words: Sequence[str], controllers: Sequence[str], aliases: Mapping[str, str]) -> tuple[str, ...]:
    """Of the controllers those that the words name: `*` all, `NAME` this one, `-NAME` not this one.

    `aliases` are other names that are taken. Raises ValueError with a sentence for a name that there is not, and where
    none is left.
    """
    words = [stripped for word in words if (stripped := word.strip())]
    named = {word.removeprefix("-"): not word.startswith("-") for word in words if word != "*"}
    named = {aliases.get(name, name): on for name, on in named.items()}
    unknown = sorted(named.keys() - set(controllers))
    if unknown:
        raise ValueError(f"there is no controller {', '.join(unknown)}; there are: {', '.join(controllers)}")
    found = tuple(name for name in controllers if named.get(name, "*" in words))
    if not found:
        raise ValueError(f"no controller is left to run; name one of: {', '.join(controllers)}")
    return found
