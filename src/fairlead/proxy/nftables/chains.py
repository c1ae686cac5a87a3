"""The chains that are made as they are needed, as netlink messages: one comes together with its first frontend.

`pick-3` of IPv4 reads, in nft's words, `dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 3 map
@endpoints-65536`, then `drop`. `alias-3` puts in the owner's place what map `aliases` says of the key, `port-3` what it
says of the port at address zero. One with `sticky` in its name first leads a client back to the target that map
`affinity` has, if the set of sticky targets has it still; so an endpoint that goes takes its records along without
anybody walking through them. `learn-SECONDS` notes where a client was led to.

When nft lists a rule, it takes the datum of a map for one register, and fails where a key has one in its middle.
Therefore data of `aliases` and `affinity` begin with a word that nobody reads: it takes the register before the
one that matters, which nft goes on taking for what was there before. So it shows `alias-3` as `pick-3`.
"""

from __future__ import annotations

from fairlead.proxy.family import Family
from fairlead.proxy.netlink import (
    DELCHAIN,
    DELRULE,
    DELSET,
    NESTED,
    NEWCHAIN,
    NEWRULE,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Request,
    Step,
    attribute,
)
from fairlead.proxy.nftables import expressions
from fairlead.proxy.nftables.expressions import DELETE, REG_FIRST, UPDATE, lookup, remember, text, translate
from fairlead.proxy.nftables.names import (
    AFFINITY,
    ALIASES,
    STICKY,
    STICKY_LOCAL,
    STICKY_OF,
    TABLE,
    Chain,
    Key,
    Learner,
)

CHAIN_TABLE, CHAIN_NAME = 1, 3
RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS = 1, 2, 4
SET_TABLE, SET_NAME = 1, 2


def chain_made(chain: Chain | Learner, endpoints: str, family: Family) -> Step:
    """A new chain. `endpoints` is the map of slots in use."""
    payload = text(CHAIN_TABLE, TABLE) + text(CHAIN_NAME, chain.name)
    return (
        Request(NEWCHAIN, payload, f"adding chain {chain.name}", NLM_F_CREATE),
        *_added(chain, endpoints, family),
    )


def chain_remade(chain: Chain | Learner, endpoints: str, family: Family) -> Step:
    """The same chain with its rules written anew, for another map of slots."""
    return (*chain_emptied(chain.name), *_added(chain, endpoints, family))


def chain_emptied(name: str) -> Step:
    """The removal of a chain's rules."""
    return (Request(DELRULE, text(RULE_TABLE, TABLE) + text(RULE_CHAIN, name), f"emptying chain {name}"),)


def chain_removed(name: str) -> Step:
    """The removal of a chain that nothing leads to any more."""
    return (Request(DELCHAIN, text(CHAIN_TABLE, TABLE) + text(CHAIN_NAME, name), f"removing chain {name}"),)


def map_removed(name: str) -> Step:
    """The removal of a map or set that no rule looks into any more."""
    return (Request(DELSET, text(SET_TABLE, TABLE) + text(SET_NAME, name), f"removing map {name}"),)


def _added(chain: Chain | Learner, endpoints: str, family: Family) -> Step:
    where = text(RULE_TABLE, TABLE) + text(RULE_CHAIN, chain.name)
    return tuple(
        Request(
            NEWRULE,
            where + attribute(RULE_EXPRESSIONS | NESTED, rule),
            f"adding a rule to chain {chain.name}",
            NLM_F_CREATE | NLM_F_APPEND,
        )
        for rule in rules(chain, endpoints, family)
    )


def rules(chain: Chain | Learner, endpoints: str, family: Family) -> list[bytes]:
    """What stands in the chain."""
    if isinstance(chain, Learner):
        return _learning(chain, family)
    drawing = _drawing(chain, endpoints, family)
    # No packet gets to the end while slots and chains agree; one that does must not leave for the virtual address.
    return [*([_returning(chain, family)] if chain.sticky else []), drawing, expressions.drop()]


def _drawing(chain: Chain, endpoints: str, family: Family) -> bytes:
    # The key's parts in consecutive registers, behind one for the word before an owner. What the map gives is read
    # into the registers of its key.
    owner = REG_FIRST + 1
    return (
        _owner(chain.key, owner, family)
        + expressions.draw(owner + family.words + 2, chain.count, chain.first)
        + lookup(endpoints, owner, owner)
        + translate(owner, family)
    )


# The registers of the rules of affinity: a word, the target, its owner, the client. Of IPv6, that is all there are.
_TARGET = REG_FIRST + 1


def _first_of_owner(family: Family) -> int:
    return _TARGET + family.words + 1


def _first_of_client(family: Family) -> int:
    return _first_of_owner(family) + family.words + 2


def _returning(chain: Chain, family: Family) -> bytes:
    """Leads the client back."""
    owner = _first_of_owner(family)
    return (
        _owner(chain.key, owner, family)
        + expressions.source(_first_of_client(family), family)
        # Only for nft, which shows that the packet is translated to these.
        + expressions.address(_TARGET, family)
        + expressions.port(_TARGET + family.words)
        + lookup(AFFINITY, owner, REG_FIRST)
        + lookup(STICKY_OF[chain.first], _TARGET)
        + translate(_TARGET, family)
    )


def _learning(chain: Learner, family: Family) -> list[bytes]:
    """Notes where the client was led to; a record that led it there has its time started anew, and no more.

    An update of an element that is there leaves its datum, so another one has to go before. But what a packet
    removes stays in the kernel's hash table until it is swept, and after some sixteen of one key it takes no more.
    Local targets come first: a client whose record leads elsewhere may be held to the node by its policy. The datum of
    a record that stays is loaded for nft alone, which cannot show it otherwise.
    """
    key, datum = _first_of_owner(family), REG_FIRST
    learned = _learned(chain, family)
    recorded = lookup(AFFINITY, key, datum)
    noted = _led(family) + remember(AFFINITY, UPDATE, key, datum, chain.seconds)
    gone = remember(AFFINITY, DELETE, key, datum)
    local = learned + lookup(STICKY_LOCAL, _TARGET)
    leave = expressions.leave()
    return [
        local + recorded + lookup(STICKY_LOCAL, _TARGET) + noted + leave,
        local + gone,
        local + noted + leave,
        learned + recorded + lookup(STICKY, _TARGET) + noted + leave,
        learned + gone,
        learned + noted,
    ]


def _learned(chain: Learner, family: Family) -> bytes:
    """Loads owner and client as a key, the target that the packet is translated to as a datum."""
    owner = _first_of_owner(family)
    return (
        expressions.original(owner, family)
        + (expressions.zero_address(owner, family) if chain.port else b"")
        + lookup(ALIASES, owner, owner - 1)
        + expressions.source(_first_of_client(family), family)
        + _led(family)
    )


def _led(family: Family) -> bytes:
    """Loads what `affinity` says of a client: protocol, address and port that the packet is translated to."""
    return (
        expressions.protocol(REG_FIRST)
        + expressions.address(_TARGET, family)
        + expressions.port(_TARGET + family.words)
    )


def _owner(key: Key, register: int, family: Family) -> bytes:
    """Loads the owner's key into consecutive registers; the one before them is written to."""
    loaded = expressions.destination(register, family)
    if key is Key.OWN:
        return loaded
    if key is Key.PORT:
        loaded += expressions.zero_address(register, family)
    return loaded + lookup(ALIASES, register, register - 1)
