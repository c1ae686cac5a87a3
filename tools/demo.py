"""The main job, shown: a lab, the document's examples, traffic and DNS through them, everything removed.

Exit status 0 only if each thing that is shown was checked. Needs kubectl, nslookup and dig; `./run demo`
brings them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from fairlead.client.api import Api
from fairlead.client.informer import Change, Informer
from fairlead.client.kubeconfig import load
from fairlead.lab.state import StateDirectory
from fairlead.objects.core_v1 import Pod
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.resources import ENDPOINTSLICES, PODS, SERVICES

ROOT = Path(__file__).parent.parent
LAB = f"demo-{os.getpid()}"
FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))
REQUESTS = 300
console = Console(width=110, highlight=False)

# Runs in a pod: COUNT requests to URL, each on a connection of its own; prints who answered, one line each.
ASK = """
import json, sys, urllib.request
url, count = sys.argv[1], int(sys.argv[2])
for _ in range(count):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            print(json.load(answer)["pod"], flush=True)
    except OSError as error:
        print("FAILED", error, flush=True)
"""

# Runs in a pod: a POST without a body to URL.
POST = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], data=b'', timeout=5)"


# Runs outside: COUNT requests to URL, each on a connection of its own; prints pod, its node, and the client it saw.
LOOK = """
import json, sys, urllib.request
url, count = sys.argv[1], int(sys.argv[2])
for _ in range(count):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            seen = json.load(answer)
            print(seen["pod"], seen["node"], seen["client"])
    except OSError as error:
        print("FAILED", error)
"""

# Runs outside: the status that each URL answers with, one line each.
STATUS = """
import sys, urllib.error, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=2).status)
    except urllib.error.HTTPError as error:
        print(error.code)
    except OSError as error:
        print(error)
"""

OUTSIDE = "198.51.100.10"
LOOKS = 120


class NotShown(Exception):
    """Something that the demo shows turned out otherwise."""


def check(holds: bool, claim: str) -> None:
    """Prints a claim that was checked; raises NotShown if it does not hold."""
    if not holds:
        raise NotShown(claim)
    console.print(f"  [green]✓[/green] {claim}")


def command(*argv: str, timeout: float = 60) -> str:
    """Runs a command to its end and gives what it printed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise NotShown(
            f"{' '.join(argv)} failed ({done.returncode}): {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Prints rows under a title."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        shown.add_column(column)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def step(text: str) -> None:
    """Prints a heading."""
    console.print(f"\n[bold cyan]{text}[/bold cyan]")


def pod(name: str, *argv: str, timeout: float = 60) -> str:
    """Runs a command in a pod of the lab."""
    return command(FAIRLEAD, "lab", "exec", "--name", LAB, f"pod/{name}", "--", *argv, timeout=timeout)


def outside(*argv: str, timeout: float = 60) -> list[str]:
    """Runs a command outside the cluster; gives the lines that it printed."""
    told = command(FAIRLEAD, "lab", "exec", "--name", LAB, "outside", "--", *argv, timeout=timeout)
    return told.splitlines()


def spread(url: str, count: int = REQUESTS) -> Counter[str]:
    """Who answered how many of `count` requests made one after another from the pod web-1."""
    return Counter(pod("web-1", sys.executable, "-c", ASK, url, str(count)).split("\n")[:-1])


async def show_service(api: Api) -> str:
    """The Service with its slices; gives its cluster address."""
    service = await api.get(SERVICES, "internal-service", "default")
    slices = (
        await api.list(ENDPOINTSLICES, "default", labels="kubernetes.io/service-name=internal-service")
    ).items
    rows = [
        (
            f"{service.metadata.name}\n{service.spec.clusterIP}:{service.spec.ports[0].port}",
            one.metadata.name,
            endpoint.targetRef.name if endpoint.targetRef else "",
            f"{endpoint.addresses[0]}:{one.ports[0].port}",
            endpoint.nodeName or "",
            "yes" if endpoint.conditions and endpoint.conditions.ready else "no",
        )
        for one in slices
        for endpoint in sorted(one.endpoints, key=lambda e: e.addresses)
    ]
    rows = [row if i == 0 else ("", "", *row[2:]) for i, row in enumerate(rows)]
    table(
        "A Service and what stands behind it", ("Service", "slice", "pod", "address", "node", "ready"), rows
    )
    check(len(rows) == 3 and all(row[-1] == "yes" for row in rows), "three endpoints, all of them ready")
    check(len({row[4] for row in rows}) == 3, "one on each node")
    check(
        service.spec.clusterIP.startswith("10.96."), f"ClusterIP {service.spec.clusterIP} out of 10.96.0.0/16"
    )
    return service.spec.clusterIP


def show_spread(address: str) -> None:
    """300 connections through the ClusterIP."""
    counts = spread(f"http://{address}/")
    rows = [(name, str(n), "█" * round(n / 4)) for name, n in sorted(counts.items())]
    table(
        f"{REQUESTS} requests from the pod web-1 to http://{address}", ("answered by", "requests", ""), rows
    )
    check(
        sorted(counts) == ["backend-1", "backend-2", "backend-3"], "all three pods answered, and nobody else"
    )
    # 100 each is expected with a standard deviation of 8: outside of 60 to 140 is no chance.
    check(all(60 <= n <= 140 for n in counts.values()), "each got its share: 60 to 140 of 300")


class Timeline:
    """When a pod's readiness, in its status and in its slice, was last seen to change."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pod_ready: bool | None = None
        self.slice_ready: bool | None = None
        self.changed: dict[str, float] = {}
        self.wake = asyncio.Event()

    def on_pod(self, change: Change[Pod]) -> None:
        if change.new and change.new.metadata.name == self.name:
            ready = any(c.type == "Ready" and c.status == "True" for c in change.new.status.conditions)
            if ready != self.pod_ready:
                self.pod_ready, self.changed["pod"] = ready, time.perf_counter()
                self.wake.set()

    def on_slice(self, change: Change[EndpointSlice]) -> None:
        for endpoint in change.new.endpoints if change.new else ():
            if endpoint.targetRef and endpoint.targetRef.name == self.name:
                ready = bool(endpoint.conditions and endpoint.conditions.ready)
                if ready != self.slice_ready:
                    self.slice_ready, self.changed["slice"] = ready, time.perf_counter()
                    self.wake.set()

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Waits for a condition over what was seen."""
        deadline = time.perf_counter() + seconds
        while not condition():
            left = deadline - time.perf_counter()
            if left <= 0:
                return False
            self.wake.clear()
            try:
                await asyncio.wait_for(self.wake.wait(), left)
            except TimeoutError:
                return condition()
        return True


async def traffic(url: str, answers: list[tuple[float, str]], stop: asyncio.Event) -> None:
    """Requests from the pod web-1 without a pause until `stop`; notes when each was answered, and by whom."""
    child = await asyncio.create_subprocess_exec(
        FAIRLEAD, "lab", "exec", "--name", LAB, "pod/web-1", "--", sys.executable, "-c", ASK, url, "1000000",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        while not stop.is_set():
            line = await child.stdout.readline()
            if not line:
                raise NotShown("the stream of requests ended")
            answers.append((time.perf_counter(), line.decode().strip()))
    finally:
        child.terminate()
        await child.wait()


async def show_readiness(api: Api, address: str) -> None:
    """A pod turns not ready under traffic, and comes back."""
    name = "backend-2"
    target = (await api.get(PODS, name, "default")).status.podIP
    line = Timeline(name)
    pods, slices = (
        Informer(api, PODS, namespace="default"),
        Informer(api, ENDPOINTSLICES, namespace="default"),
    )
    pods.subscribe(line.on_pod)
    slices.subscribe(line.on_slice)
    running = [asyncio.ensure_future(pods.run()), asyncio.ensure_future(slices.run())]
    await pods.synced()
    await slices.synced()
    answers: list[tuple[float, str]] = []
    stop = asyncio.Event()
    stream = asyncio.ensure_future(traffic(f"http://{address}/", answers, stop))
    rows: list[tuple[str, ...]] = []
    try:
        for path, ready in (("unready", False), ("ready", True)):
            thrown = time.perf_counter()
            await asyncio.to_thread(pod, "web-1", sys.executable, "-c", POST, f"http://{target}:8080/{path}")
            seen = await line.until(lambda: line.pod_ready is ready and line.slice_ready is ready, 10)  # noqa: B023
            if not seen:
                raise NotShown(f"{name} turned {path}, but its Pod or its slice did not within 10 s")
            noticed, written = line.changed["pod"], line.changed["slice"]
            await asyncio.sleep(1.0 if not ready else 0.5)
            hits = [at for at, who in answers if who == name and at > noticed]
            if ready:
                rows.append(("back: probe, then Pod status", f"{(noticed - thrown) * 1e3:,.0f} ms", ""))
                rows.append(("back: slice ready: true", "", f"{(written - noticed) * 1e3:,.1f} ms"))
                if not hits:
                    raise NotShown(f"{name} got no request within half a second of being ready again")
                rows.append(("back: its first request", "", f"{(hits[0] - noticed) * 1e3:,.1f} ms"))
                first = hits[0] - noticed
            else:
                rows.append(("away: probe, then Pod status", f"{(noticed - thrown) * 1e3:,.0f} ms", ""))
                rows.append(("away: slice ready: false", "", f"{(written - noticed) * 1e3:,.1f} ms"))
                last = max((at - noticed for at in hits), default=0.0)
                rows.append(("away: its last request", "", f"{last * 1e3:,.1f} ms" if hits else "none after"))
        failed = [who for _, who in answers if who.startswith("FAILED")]
        table(
            f"{name} turns not ready and comes back, under {len(answers):,} requests (probe period 1 s)",
            ("what", "after the switch", "after the Pod's status"),
            rows,
        )
        check(last < 1.0, "within a second of the Pod's status, no request went to it any more")
        check(first < 1.0, "within a second of the Pod's status, it had requests again")
        check(not failed, f"none of {len(answers):,} requests failed" + (f": {failed[0]}" if failed else ""))
    finally:
        stop.set()
        for task in running:
            task.cancel()
        await asyncio.gather(stream, *running, return_exceptions=True)


async def show_dns(api: Api) -> None:
    """A, headless, SRV, a pod's own name, CNAME, a short name and NXDOMAIN."""
    listed = (await api.list(PODS, "default")).items
    stateful = {p.status.podIP for p in listed if p.metadata.labels.get("app") == "stateful-app"}
    mysql = {p.status.podIP for p in listed if p.metadata.name == "mysql-0"}
    service = await api.get(SERVICES, "my-service", "default")
    backend = await api.get(SERVICES, "internal-service", "default")
    zone = "default.svc.cluster.local"
    rows: list[tuple[str, ...]] = []
    wrong: list[str] = []

    def ask(kind: str, name: str, expected: set[str]) -> None:
        got = {
            " ".join(line.split())
            for line in pod("web-1", "dig", "+short", "+search", kind, name).splitlines()
        }
        rows.append((kind, name, "\n".join(sorted(got))))
        if got != expected:
            wrong.append(f"{kind} {name} is to give {sorted(expected)}")

    ask("A", f"my-service.{zone}", {service.spec.clusterIP})
    ask("A", "internal-service", {backend.spec.clusterIP})
    ask("A", f"headless-service.{zone}", stateful)
    ask("SRV", f"_http._tcp.my-service.{zone}", {f"0 100 80 my-service.{zone}."})
    ask("A", f"mysql-0.mysql.{zone}", mysql)
    ask("CNAME", f"external-db.{zone}", {"db.example.com."})
    text = pod("web-1", "dig", f"nobody.{zone}")
    rows.append(("A", f"nobody.{zone}", re.search(r"status: (\w+)", text).group(1)))  # type: ignore[union-attr]
    table("DNS, asked in the pod web-1 at 10.96.0.10", ("type", "name", "answer"), rows)
    check(len(stateful) == 3, "the headless Service gives the addresses of its three pods")
    check(
        "status: NXDOMAIN" in text and "SOA" in text, "a name that is not there: NXDOMAIN with the zone's SOA"
    )
    check(not wrong, "each other answer is what the API says" + "".join(f"; but {w}" for w in wrong))
    looked_up = pod("web-1", "nslookup", f"my-service.{zone}")
    console.print(f"[dim]$ nslookup my-service.{zone}\n{looked_up.strip()}[/dim]")
    check("10.96.0.10#53" in looked_up and service.spec.clusterIP in looked_up, "as the document prints it")


def show_load_balancers(kubeconfig: Path) -> None:
    """Both traffic policies of the document's diagrams: from outside, with a node that has no pod of the Services."""
    kubectl = ("kubectl", "--kubeconfig", str(kubeconfig))
    nodes = {
        each["status"]["addresses"][0]["address"]: each["metadata"]["name"]
        for each in json.loads(command(*kubectl, "get", "nodes", "-o", "json"))["items"]
    }
    service = {
        name: json.loads(command(*kubectl, "get", "service", name, "-o", "json"))
        for name in ("loadbalancer-service", "external-traffic-service")
    }
    address = {name: each["status"]["loadBalancer"]["ingress"][0]["ip"] for name, each in service.items()}
    described = command(*kubectl, "describe", "service", "loadbalancer-service")
    console.print(f"[dim]$ kubectl describe service loadbalancer-service\n…\n{_events(described)}[/dim]")
    check(
        f"Assigned IP {address['loadbalancer-service']} of pool lab" in described
        and all(ip.startswith("203.0.113.") for ip in address.values()),
        f"external addresses out of 203.0.113.0/24, told in Events: {', '.join(address.values())}",
    )
    pods = json.loads(command(*kubectl, "get", "pods", "-l", "app=web", "-o", "json"))["items"]
    places = {each["metadata"]["name"]: each["spec"]["nodeName"] for each in pods}
    command(*kubectl, "delete", "pod", "web-3", "--wait=false")
    empty = places.pop("web-3")
    full = set(places.values()) - {empty}
    port = service["external-traffic-service"]["spec"]["healthCheckNodePort"]
    health = _health(nodes, port, empty)
    rows = []
    seen = _looks(f"http://{address['loadbalancer-service']}/", gone="web-3")
    for (who, node, client), count in sorted(Counter(seen).items()):
        rows.append((nodes.get(client, client), f"{who} on {node}", str(count)))
    table(
        f"externalTrafficPolicy: Cluster, {LOOKS} requests; {empty} has no pod",
        ("came in at (what the pod sees)", "answered by", "requests"),
        rows,
    )
    passed = sum(nodes.get(client) == empty for _, _, client in seen)
    check(passed > 0, f"{empty}, which has no pod, passed {passed} requests on to the other nodes")
    check({nodes.get(client) for _, _, client in seen} == set(nodes.values()), "every node let some in")
    seen = _looks(f"http://{address['external-traffic-service']}/", gone="web-3")
    rows = [(f"{node}: {status}", *_answers(seen, node)) for node, status in sorted(health.items())]
    table(
        f"externalTrafficPolicy: Local, {LOOKS} requests; {empty} has no pod",
        ("health check of the node", "client that its pod sees", "requests"),
        rows,
    )
    check(
        health[empty] == "503" and all(health[node] == "200" for node in full),
        f"{empty} says at the health check port {port} that it has no pod, so it gets no traffic",
    )
    check(
        {node for _, node, _ in seen} == full, f"{' and '.join(sorted(full))} answered all {LOOKS} requests"
    )
    check({client for _, _, client in seen} == {OUTSIDE}, f"the pods saw the client's own address, {OUTSIDE}")


def _events(described: str) -> str:
    return "Events:" + described.partition("Events:")[2].rstrip()


def _answers(seen: list[tuple[str, ...]], node: str) -> tuple[str, str]:
    clients = [client for _, there, client in seen if there == node]
    return ", ".join(sorted(set(clients))), str(len(clients))


def _health(nodes: dict[str, str], port: int, empty: str) -> dict[str, str]:
    """What each node answers at the Service's health check port, once the one without a pod knows that it has none."""
    deadline = time.perf_counter() + 10
    while True:
        urls = [f"http://{ip}:{port}/healthz" for ip in nodes]
        found = dict(zip(nodes.values(), outside(sys.executable, "-c", STATUS, *urls), strict=True))
        if found[empty] == "503" or time.perf_counter() > deadline:
            return found


def _looks(url: str, gone: str) -> list[tuple[str, ...]]:
    """Pod, node and client of each of the requests, once the load balancer has noticed that a pod is gone."""
    deadline = time.perf_counter() + 10
    while True:
        lines = outside(sys.executable, "-c", LOOK, url, "10")
        if not any(line.startswith("FAILED") for line in lines) and gone not in {x.split()[0] for x in lines}:
            break
        if time.perf_counter() > deadline:
            raise NotShown(f"requests to {url} still fail: {lines}")
    lines = outside(sys.executable, "-c", LOOK, url, str(LOOKS))
    failed = [line for line in lines if line.startswith("FAILED")]
    check(not failed, f"none of {LOOKS} requests to {url} failed" + (f": {failed[0]}" if failed else ""))
    return [tuple(line.split()) for line in lines]


def show_examples(kubeconfig: Path) -> None:
    """Applies the examples with kubectl, waits for the pods."""
    kubectl = ("kubectl", "--kubeconfig", str(kubeconfig))
    applied = command(*kubectl, "apply", "-f", str(ROOT / "examples"))
    count = len(applied.splitlines())
    check(
        count > 0 and not re.search("error|invalid", applied, re.I),
        f"kubectl applied {count} objects of examples/",
    )
    for label in ("app=backend", "app=web", "app=stateful-app", "app=mysql"):
        command(*kubectl, "wait", "--for=condition=Ready", "pod", "-l", label, "--timeout=30s")
    console.print(
        f"[dim]$ kubectl get svc -o wide\n{command(*kubectl, 'get', 'svc', '-o', 'wide').strip()}[/dim]"
    )
    ready = json.loads(command(*kubectl, "get", "pods", "-o", "json"))["items"]
    check(len(ready) >= 10, f"{len(ready)} pods run on three nodes")


def leftovers() -> list[str]:
    """What of the demo's lab is still there: network namespaces, state, processes."""
    directory = StateDirectory.of(LAB)
    left = [str(path) for path in (directory.path, *directory.network.leftovers()) if path.exists()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            argv = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if LAB.encode() in argv and int(process.name) != os.getpid():
            left.append(f"process {process.name}: {argv.replace(bytes(1), b' ').decode()}")
    return left


async def show(kubeconfig: Path) -> None:
    """Everything between the lab's start and its end."""
    step("2. The document's examples")
    show_examples(kubeconfig)
    async with Api(load(kubeconfig)) as api:
        step("3. A Service")
        address = await show_service(api)
        step("4. Load balancing")
        await asyncio.to_thread(show_spread, address)
        step("5. Readiness")
        await show_readiness(api, address)
        step("6. DNS")
        await show_dns(api)
        step("7. Load balancers")
        await asyncio.to_thread(show_load_balancers, kubeconfig)


def fail(sentence: str) -> NoReturn:
    """Ends the demo before it began: status 2."""
    print(f"demo: {sentence}", file=sys.stderr)
    sys.exit(2)


def main() -> int:
    """0 if all that was shown was checked, 1 if something did not hold, 2 if the demo could not start."""
    for tool in ("kubectl", "nslookup", "dig"):
        if shutil.which(tool) is None:
            fail(f"{tool} is not installed; ./run demo says which Debian package brings it")
    begun = time.perf_counter()
    status = 0
    with tempfile.TemporaryDirectory(prefix="fairlead-demo-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        step("1. A lab of three nodes")
        up = subprocess.run(
            [
                FAIRLEAD,
                "lab",
                "up",
                "--name",
                LAB,
                "--nodes",
                "3",
                "--detach",
                "--kubeconfig",
                str(kubeconfig),
            ],
            check=False,
        )
        if up.returncode != 0:
            return up.returncode
        try:
            asyncio.run(show(kubeconfig))
        except NotShown as error:
            console.print(f"  [red]✗ {error}[/red]")
            status = 1
        finally:
            step("8. The end")
            subprocess.run([FAIRLEAD, "lab", "down", "--name", LAB], check=False)
            left = leftovers()
        try:
            check(
                not left, "nothing is left" + (f": {left}" if left else ": no namespaces, processes or files")
            )
        except NotShown as error:
            console.print(f"  [red]✗ {error}[/red]")
            status = 1
    verdict = "Everything shown was checked" if status == 0 else "Not all of it held"
    console.print(f"\n{verdict}, in {time.perf_counter() - begun:.1f} s.")
    return status


if __name__ == "__main__":
    sys.exit(main())
