from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.workloads.hashing import ALPHABET, hash_of
from tests.workloads.objects import template


def test_a_hash_stays_the_same_in_every_version() -> None:
    """Another value would make every Deployment of a cluster roll out anew."""
    assert hash_of({"spec": {"image": "nginx"}}) == "689d7b5899"


def test_a_hash_depends_on_the_contents_alone() -> None:
    assert hash_of(template({"a": "1", "b": "2"})) == hash_of(template({"b": "2", "a": "1"}))
    assert hash_of(template()) != hash_of(template(image="other"))
    named = replace(template(), metadata=ObjectMeta(labels={"app": "web"}, annotations={"a": "1"}))
    assert hash_of(template()) != hash_of(named)


def test_another_count_of_collisions_gives_another_hash() -> None:
    assert len({hash_of(template(), count) for count in (None, 0, 1, 2)}) == 4


def test_hashes_are_short_and_make_no_words() -> None:
    for number in range(200):
        found = hash_of(number)
        assert 0 < len(found) <= 10
        assert set(found) <= set(ALPHABET)
    assert not set("aeiou013") & set(ALPHABET)
