"""The applications of examples/apps, as their README says: one lab, its image map, `kubectl apply`, their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import wait_for
from tests.lab.labs import Lab, lab_of
from tests.node.places import root
from tests.waiting import LIMIT

APPS = Path(__file__).parents[2] / "examples/apps"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_of("apps") as made:
        done = made.up("--nodes", "2", "--images", str(APPS / "lab/images.yaml"), "--detach")
        assert done.returncode == 0, done.stderr
        yield made


def deploy(lab: Lab, name: str, **replicas: int) -> None:
    """Applies a manifest, and waits for so many ready replicas of its workloads, by name (`_` for `-`)."""
    text = (APPS / f"{name}.yaml").read_text()
    lab.kubectl("apply", "-f", "-", text=text)
    kind = "statefulset" if "kind: StatefulSet" in text else "deployment"
    for workload, number in replicas.items():
        ready = f"--for=jsonpath={{.status.readyReplicas}}={number}"
        lab.kubectl("wait", ready, f"{kind}/{workload.replace('_', '-')}", f"--timeout={LIMIT:.0f}s")


def get(lab: Lab, service: str, path: str = "/") -> str:
    """What the Service's external address answers to a client outside; nothing where it does not."""
    address = lab.kubectl("get", "svc", service, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
    return lab.exec("outside", "curl", "-sf", "--max-time", "10", f"http://{address}{path}").stdout


def answer(lab: Lab, service: str, path: str) -> Any:
    """The JSON there, as soon as there is some: pods that are ready may still wait for those that they call."""
    return json.loads(wait_for(lambda: get(lab, service, path)))


@root
def test_the_guestbook_keeps_what_is_written(lab: Lab) -> None:
    deploy(lab, "guestbook", redis_leader=1, redis_follower=2, guestbook=3)
    said = answer(lab, "guestbook", "/guestbook.php?cmd=set&key=messages&value=hello,world")
    assert said == {"message": "Updated"}
    # It is read from the followers, which hear of it later.
    wait_for(lambda: "<li>hello</li><li>world</li>" in get(lab, "guestbook"))


@root
def test_the_shop_sells(lab: Lab) -> None:
    deploy(lab, "shop", frontend=1, checkoutservice=1, loadgenerator=1)
    page = wait_for(lambda: get(lab, "frontend-external", "/?currency=EUR"))
    assert "<li>Sunglasses: EUR 18.39</li>" in page
    chosen = answer(lab, "frontend-external", "/cart?product=OLJCESPC7Z")
    assert "OLJCESPC7Z" in chosen["cart"]
    assert "OLJCESPC7Z" not in chosen["recommended"]
    # The load generator buys as the same visitor: the cart may be empty again.
    assert answer(lab, "frontend-external", "/cart/checkout").keys() >= {"order", "amount", "tracking"}


@root
def test_the_database_follows_its_first_replica_and_keeps_its_data(lab: Lab) -> None:
    deploy(lab, "database", database=3)

    def ask(replica: int, *words: str) -> str:
        return lab.exec(f"pod/database-{replica}", "redis-cli", *words).stdout.strip()

    assert ask(0, "SET", "key", "value") == "OK"
    lab.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc", "--all", f"--timeout={LIMIT:.0f}s")
    for replica in (1, 2):
        wait_for(lambda replica=replica: ask(replica, "GET", "key") == "value")  # type: ignore[misc]
    uid = lab.kubectl("get", "pod", "database-0", "-o", "jsonpath={.metadata.uid}")
    lab.kubectl("delete", "pod", "database-0", "--wait=false")
    new = "{.metadata.uid} {.status.containerStatuses[0].ready}"

    def is_replaced() -> bool:
        words = lab.kubectl("get", "pod", "database-0", "--ignore-not-found", "-o", f"jsonpath={new}").split()
        return words[1:] == ["true"] and words[0] != uid

    wait_for(is_replaced)
    assert ask(0, "GET", "key") == "value", "its claim is what it was"
    assert ask(0, "SET", "key", "later") == "OK"
    for replica in (1, 2):
        wait_for(lambda replica=replica: ask(replica, "GET", "key") == "later")  # type: ignore[misc]
