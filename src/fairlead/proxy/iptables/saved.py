"""What iptables-save prints, as far as it is ours."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairlead.proxy.iptables.names import Chain, is_ours


@dataclass(slots=True)
class Saved:
    """The rules of all tables that were read: each as iptables writes it after `-A CHAIN `."""

    ours: dict[Chain, list[str]] = field(default_factory=dict)
    foreign: dict[Chain, list[str]] = field(default_factory=dict)
    """The kernel's own chains and those of others."""

    def read(self, text: str) -> None:
        """Adds the tables of the text. Cost: a microsecond a rule."""
        table = ""
        chains: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line.startswith("-A "):
                name, _, rule = line[3:].partition(" ")
                chains[name].append(rule)
            elif line.startswith(":"):
                name = line[1:].partition(" ")[0]
                chain = Chain(table, name)
                kept = self.ours if is_ours(chain) else self.foreign
                chains[name] = kept.setdefault(chain, [])
            elif line.startswith("*"):
                table = line[1:].strip()
                chains = {}

    def led_to(self) -> set[Chain]:
        """Chains of ours that the rules of others lead to."""
        found = set()
        for (table, _), rules in self.foreign.items():
            found |= {Chain(table, name) for rule in rules if (name := target(rule))}
        return found & self.ours.keys()


def target(rule: str) -> str:
    """The chain, or the kernel's target, that the rule leads to; "" where there is none."""
    words = rule.split(" ")
    for at in range(len(words) - 2, -1, -1):
        if words[at] in ("-j", "-g"):
            return words[at + 1]
    return ""
