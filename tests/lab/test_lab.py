"""A lab as its users have it: made, used, killed in parts, removed, as root and as anybody else."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from fairlead.lab.processes import Identity
from fairlead.lab.state import Process
from fairlead.node.records import read_sandbox
from fairlead.proxy import modes
from fairlead.proxy.dataplane import Unusable
from tests.lab.conftest import freeze, wait_for
from tests.lab.labs import ASK_CLIENT, BALANCED, FAIRLEAD, NOBODY, WHO_AM_I, Lab, lab_of
from tests.ordinary import user_namespaces
from tests.waiting import LIMIT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="labs of several users need root")


# Sends a request on one and the same connection for each line it reads.
HOLD = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=60)
connection.connect()
connection.auto_open = 0
for line in sys.stdin:
    connection.request("GET", "/")
    print(json.load(connection.getresponse())["pod"], flush=True)
"""


# Prints the addresses of a name, one a line.
RESOLVE = """
struct sockaddr;
struct addrinfo {
    int flags, family, socktype, protocol; unsigned length;
    struct sockaddr *address; char *name; struct addrinfo *next;
};
int getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);
int getnameinfo(const struct sockaddr *, unsigned, char *, unsigned, char *, unsigned, int);
int puts(const char *);
int main(int count, char **words) {
    struct addrinfo hints = {0, 0, 1, 0}, *found;
    char text[64];
    if (getaddrinfo(words[1], 0, &hints, &found)) return 2;
    for (; found; found = found->next) {
        getnameinfo(found->address, found->length, text, sizeof text, 0, 0, 1);
        puts(text);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Lab, str]]:
    """A lab of two nodes with a Service of three pods, known by name, for the tests that leave it as it is."""
    with lab_of("served") as lab:
        done = lab.up("--nodes", "2", "--zones", "a,b", "--detach")
        assert done.returncode == 0, done.stderr
        address = lab.serve(3)
        wait_for(lambda: lab.ask("pod/web-1", "web"))
        yield lab, address


@pytest.mark.parametrize("where", ["node/node1", "node/node2", "pod/web-1", "the DNS"])
def test_a_cluster_address_answers_from(served: tuple[Lab, str], where: str) -> None:
    lab, address = served
    place = lab.dns() if where == "the DNS" else where
    assert re.fullmatch(r"web-[123]", wait_for(lambda: lab.ask(place, address)))


def test_a_cluster_address_does_not_answer_outside_the_cluster(served: tuple[Lab, str]) -> None:
    lab, address = served
    assert lab.ask("outside", address) == ""


def test_a_service_answers_to_its_name(served: tuple[Lab, str]) -> None:
    lab, _ = served
    assert re.fullmatch(r"web-[123]", wait_for(lambda: lab.ask("pod/web-1", "web")))


def test_no_component_is_refused_anything(served: tuple[Lab, str]) -> None:
    lab, _ = served
    metrics = lab.kubectl("get", "--raw", "/metrics").splitlines()
    assert any(line.startswith("apiserver_request_total{") and 'code="201"' in line for line in metrics)
    refused = re.compile(r'apiserver_request_total\{.*code="(400|401|403|405|406|415|422)"')
    assert [line for line in metrics if refused.match(line)] == []


def test_a_pod_is_known_by_its_account(served: tuple[Lab, str]) -> None:
    lab, _ = served
    said = wait_for(lambda: lab.exec("pod/web-1", sys.executable, "-c", WHO_AM_I).stdout)
    assert said == "system:serviceaccount:default:default\n"


def test_kubectl_reaches_pods_and_nodes(served: tuple[Lab, str]) -> None:
    """The API server's process is in the host's network, and nodes and pods are in the lab's."""
    lab, _ = served
    assert lab.kubectl("exec", "web-1", "--", "hostname").strip() == "web-1"
    # What a container has said reaches its log by way of another process.
    assert "listens on" in wait_for(lambda: lab.kubectl("logs", "web-2"))
    for pod in ("web-1", "web-2"):
        assert f'"pod": "{pod}"' in lab.kubectl(
            "get", "--raw", f"/api/v1/namespaces/default/pods/{pod}:8080/proxy/"
        )
    assert '"pod": "web-' in lab.kubectl("get", "--raw", "/api/v1/namespaces/default/services/web:80/proxy/")

    def told() -> list[str]:
        """The nodes whose use is known; one that is busy may be late with it."""
        lines = lab.tries_kubectl("top", "nodes", "--no-headers").stdout.splitlines()
        return [line.split()[0] for line in lines if "<unknown>" not in line]

    wait_for(lambda: told() == ["node1", "node2"])


@pytest.fixture(scope="module")
def musl() -> Iterator[Path]:
    """A program that asks musl's resolver for a name's addresses, linked statically."""
    libraries = Path("/usr/lib") / f"{os.uname().machine}-linux-musl"
    if shutil.which("tcc") is None or not libraries.is_dir():
        pytest.skip("no musl here to build a program with: apt-get install tcc musl-dev")
    # Not in /tmp, of which each pod has its own.
    folder = Path(tempfile.mkdtemp(prefix="fairlead-test-", dir="/var/tmp"))
    program, source = folder / "resolve", folder / "resolve.c"
    source.write_text(RESOLVE)
    parts = [libraries / "crt1.o", libraries / "crti.o", source, libraries / "libc.a", libraries / "crtn.o"]
    subprocess.run(["tcc", "-static", "-nostdlib", "-o", program, *parts], check=True)
    yield program
    shutil.rmtree(folder)


RESOLVERS = {
    "glibc": ("getent", "ahostsv4", "NAME"),
    "Python": (sys.executable, "-c", "import socket, sys; print(socket.gethostbyname(sys.argv[1]))", "NAME"),
    "musl": ("MUSL", "NAME"),
    "dig": ("dig", "+search", "+short", "NAME"),
    "nslookup": ("nslookup", "NAME"),
    "busybox": ("busybox", "nslookup", "-type=a", "NAME"),
}


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_every_resolver_finds_a_service(served: tuple[Lab, str], musl: Path, resolver: str) -> None:
    lab, address = served
    names = ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"]
    if resolver == "busybox":  # asks for what it is told only, without the search of resolv.conf
        names = names[-1:]
    for name in names:
        command = [{"NAME": name, "MUSL": str(musl)}.get(word, word) for word in RESOLVERS[resolver]]
        done = lab.exec("pod/web-1", *command)
        assert re.search(rf"\b{re.escape(address)}\b", done.stdout), (name, done)
    nothing = [{"NAME": "nothing", "MUSL": str(musl)}.get(word, word) for word in RESOLVERS[resolver]]
    assert address not in lab.exec("pod/web-1", *nothing).stdout


def test_a_load_balancer_leads_to_the_nodes_that_can_answer(served: tuple[Lab, str]) -> None:
    """The seed's two diagrams: under Cluster any node passes on, under Local the pod sees the client."""
    lab, _ = served
    manifests = BALANCED.replace("NAME", "balanced").replace("POLICY", "Cluster")
    manifests += BALANCED.replace("NAME", "local").replace("POLICY", "Local")
    lab.kubectl("apply", "-f", "-", text=manifests)
    try:
        where = "jsonpath={.status.loadBalancer.ingress[0].ip}"
        addresses = [
            wait_for(lambda name=name: lab.kubectl("get", "svc", name, "-o", where))  # type: ignore[misc]
            for name in ("balanced", "local")
        ]
        assert all(address.startswith("203.0.113.") for address in addresses)

        def answers(address: str) -> set[tuple[str, ...]]:
            done = lab.exec("outside", sys.executable, "-c", ASK_CLIENT, f"http://{address}")
            return (
                {tuple(line.split()) for line in done.stdout.splitlines()} if done.returncode == 0 else set()
            )

        def seen(address: str, nodes: set[str]) -> set[str]:
            """The clients that pods saw when just these nodes' answered; none as long as others did."""
            found = answers(address)
            return {client for _, client in found} if {node for node, _ in found} == nodes else set()

        both = {"node1", "node2"}
        assert "198.51.100.10" not in wait_for(lambda: seen(addresses[0], both))
        assert wait_for(lambda: seen(addresses[1], both)) == {"198.51.100.10"}
        # A node without a ready pod gets nothing under Local; nobody has to wait for it.
        on = {p["metadata"]["name"]: p["spec"]["nodeName"] for p in json.loads(
            lab.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]}  # fmt: skip
        left = next(iter(on.values()))
        for pod, node in on.items():
            if node != left:
                lab.kubectl("label", "pod", pod, "app-")
        assert wait_for(lambda: seen(addresses[1], {left})) == {"198.51.100.10"}
        # Under Cluster it still lets connections in, and passes them on: the pod sees its address.
        wait_for(lambda: seen(addresses[0], {left}) == {"192.168.1.10", "192.168.1.11"})
        for pod in on:
            lab.kubectl("label", "pod", pod, "app=web", "--overwrite")
        counts = "jsonpath={.status.assignedIPv4} {.status.availableIPv4}"

        def counted() -> bool:
            found = [int(word) for word in lab.kubectl("get", "ipaddresspool", "lab", "-o", counts).split()]
            return len(found) == 2 and found[0] >= 2 and sum(found) == 254

        wait_for(counted)
        said = f"Assigned IP {addresses[0]} of pool lab"
        wait_for(lambda: said in lab.kubectl("get", "events", "-o", "jsonpath={.items[*].message}"))
    finally:
        lab.kubectl("delete", "svc", "balanced", "local")


def test_nodes_have_addresses_and_zones(served: tuple[Lab, str]) -> None:
    lab, _ = served
    found = {
        node["metadata"]["name"]: (
            node["status"]["addresses"][0]["address"],
            node["metadata"]["labels"]["topology.kubernetes.io/zone"],
        )
        for node in json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
    }
    assert found == {"node1": ("192.168.1.10", "a"), "node2": ("192.168.1.11", "b")}


@pytest.mark.parametrize(
    ("where", "command", "status", "said"),
    [
        ("node/node1", ("true",), 0, ""),
        ("node/node1", ("sh", "-c", "exit 7"), 7, ""),
        ("pod/web-1", ("sh", "-c", "exit 7"), 7, ""),
        ("pod/default/web-1", ("sh", "-c", "kill -TERM $$"), 143, ""),
        ("node/node1", ("no-such-program",), 127, "no-such-program: command not found"),
        ("pod/web-1", ("no-such-program",), 127, "no-such-program: command not found"),
        ("outside", ("/etc/passwd",), 126, "/etc/passwd: Permission denied"),
        ("node/node3", ("true",), 2, "there is no node 'node3' in the lab; its nodes are node1, node2"),
        ("pod/web-9", ("true",), 2, "there is no running pod 'web-9' in namespace 'default'"),
        ("pod/other/web-1", ("true",), 2, "in namespace 'other'"),
        ("web-1", ("true",), 2, "'web-1' is no place in a lab"),
        ("node/node1", (), 2, "no command to run"),
    ],
)
def test_exec_gives_the_commands_status(
    served: tuple[Lab, str], where: str, command: tuple[str, ...], status: int, said: str
) -> None:
    done = served[0].exec(where, *command)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr


def test_exec_hands_on_options_input_and_output(served: tuple[Lab, str]) -> None:
    process = served[0].start(
        "lab", "exec", "--name", served[0].name, "pod/web-1", "--", "sh", "-c", "cat; hostname"
    )
    assert process.communicate("from outside\n", timeout=LIMIT)[0] == "from outside\nweb-1\n"


def test_status_shows_nodes_and_processes(served: tuple[Lab, str]) -> None:
    done = served[0].run("lab", "status", "--name", served[0].name)
    assert done.returncode == 0
    for word in ("is ready", "192.168.1.11", "apiserver", "controllers", "node2", "https://127.0.0.1:"):
        assert word in done.stdout


def test_a_lab_of_the_same_name_is_refused(served: tuple[Lab, str]) -> None:
    done = served[0].up("--detach")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "is running" in done.stderr
    assert wait_for(lambda: served[0].ask("pod/web-1", served[1]))


def test_two_labs_live_side_by_side(served: tuple[Lab, str]) -> None:
    with lab_of("second") as second:
        assert second.up("--nodes", "1", "--detach").returncode == 0
        address = second.serve(1)
        assert wait_for(lambda: second.ask("node/node1", address)) == "web-1"
        second.down()
        assert second.leftovers() == []
    assert wait_for(lambda: served[0].ask("pod/web-1", served[1]))


def test_whatever_is_killed_comes_back_and_no_connection_is_lost(served: tuple[Lab, str]) -> None:
    lab, address = served
    holding = lab.start(
        "lab", "exec", "--name", lab.name, "pod/web-1", "--", sys.executable, "-c", HOLD, address
    )
    assert holding.stdin is not None
    assert holding.stdout is not None

    def ask_on() -> str:
        assert holding.stdin is not None
        assert holding.stdout is not None
        holding.stdin.write("\n")
        holding.stdin.flush()
        return holding.stdout.readline()

    try:
        assert (first := ask_on())
        before = wait_for(lab.processes)
        for name, process in before.items():
            assert process.identity.send(signal.SIGKILL)

            def is_back(name: str = name, process: Process = process) -> bool:
                now = lab.processes()
                return now.keys() == before.keys() and now[name].identity != process.identity

            assert wait_for(is_back), name
            assert ask_on() == first, name
            assert wait_for(lambda: lab.ask("node/node2", address)), name
        restarts = {p.name: p.restarts for p in lab.processes().values()}
        assert set(restarts.values()) == {1}
        path = "jsonpath={.items[*].status.containerStatuses[*].restartCount}"
        assert lab.kubectl("get", "pods", "-l", "app=web", "-o", path) == "0 0 0"
    finally:
        holding.kill()
        holding.communicate()


def test_down_after_everything_was_killed_leaves_nothing() -> None:
    with lab_of("killed") as lab:
        assert lab.up("--nodes", "1", "--detach").returncode == 0
        lab.serve(1)
        found = lab.processes()
        for name in ("keeper", "supervisor"):
            freeze(found[name].identity)
        for process in found.values():
            process.identity.send(signal.SIGKILL)
        wait_for(lambda: not lab.processes())
        refused = lab.up("--detach")
        assert refused.returncode == 2
        assert "fairlead lab down" in refused.stderr
        pods = {
            record.spec.name: (path.parent, Identity(record.pid, record.ticks))
            for path in lab.directory.path.glob("nodes/node1/pods/*/sandbox.json")
            if (record := read_sandbox(path.parent))
        }
        ((folder, dns),) = (found for name, found in pods.items() if name.startswith("fairlead-dns-"))
        shutil.rmtree(folder)  # nothing tells of that pod any more
        assert dns.is_alive()
        done = lab.down()
        assert done.returncode == 0
        assert "pod default/web-1" in done.stdout
        assert not dns.is_alive()
        assert lab.leftovers() == []
        assert "nothing to remove" in lab.down().stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_foreground_removes_the_lab(number: signal.Signals) -> None:
    with lab_of("foreground") as lab:
        process = lab.start(
            "lab", "up", "--nodes", "1", "--name", lab.name, "--kubeconfig", str(lab.kubeconfig)
        )
        assert process.stdout is not None
        while "Ctrl-C removes it" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(number)
        # The second comes while it is being removed, or after: either must not leave half a lab.
        with suppress(ProcessLookupError):
            process.send_signal(number)
        process.communicate(timeout=LIMIT)
        assert process.returncode == 0
        assert lab.leftovers() == []


@pytest.mark.parametrize("step", ["programs loaded", "certificates", "network namespaces", "API server"])
def test_a_signal_while_it_starts_leaves_nothing(step: str) -> None:
    """It cannot have started before the signal comes, however late that is: its DNS answers nothing."""
    with lab_of("starting") as lab:
        images = lab.folder / "images.yaml"
        images.write_text("fairlead/dns: {entrypoint: [sleep, infinity]}\n")
        words = ("--name", lab.name, "--kubeconfig", str(lab.kubeconfig), "--images", str(images))
        process = lab.start("lab", "up", *words)
        assert process.stdout is not None
        while step not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        assert process.returncode == 128 + signal.SIGINT
        assert lab.leftovers() == []


def test_a_lab_outlives_its_command_being_killed() -> None:
    with lab_of("orphan") as lab:
        process = lab.start(
            "lab", "up", "--nodes", "1", "--name", lab.name, "--kubeconfig", str(lab.kubeconfig)
        )
        assert process.stdout is not None
        while "Ctrl-C removes it" not in process.stdout.readline():
            assert process.poll() is None
        process.kill()
        process.communicate(timeout=LIMIT)
        assert lab.run("lab", "status", "--name", lab.name).returncode == 0
        assert lab.down().returncode == 0
        assert lab.leftovers() == []


def test_objects_in_a_store_of_ones_own_outlive_the_lab() -> None:
    with lab_of("stored") as lab:
        store = ("--store", f"sqlite:{lab.folder}/objects.sqlite")
        assert lab.up("--nodes", "2", "--detach", *store).returncode == 0
        lab.serve(2)
        lab.down()
        done = lab.up("--nodes", "1", "--detach", *store)
        assert done.returncode == 0, done.stderr
        assert lab.kubectl("get", "nodes", "-o", "name").split() == ["node/node1"]
        assert lab.kubectl("get", "svc", "web", "-o", "name").strip() == "service/web"


@user_namespaces
@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_an_ordinary_user_has_a_lab_too(mode: str) -> None:
    with lab_of("ordinary", NOBODY) as lab:
        done = lab.up("--nodes", "2", "--detach", "--proxy-mode", mode)
        assert done.returncode == 0, done.stderr
        address = lab.serve(2)
        for where in ("node/node1", "pod/web-1"):
            assert re.fullmatch(r"web-[12]", wait_for(partial(lab.ask, where, address)))
        assert lab.kubectl("exec", "web-1", "--", "hostname").strip() == "web-1"
        assert '"pod": "web-2"' in lab.kubectl(
            "get", "--raw", "/api/v1/namespaces/default/pods/web-2:8080/proxy/"
        )
        found = lab.processes()
        for name in ("keeper", "supervisor"):
            freeze(found[name].identity)
        for process in found.values():
            process.identity.send(signal.SIGKILL)
        wait_for(lambda: not lab.processes())
        assert "pod default/web-1" in lab.down().stdout
        assert lab.leftovers() == []


def why_no_ipvs() -> str:
    try:
        modes.load("ipvs").available()
    except Unusable as reason:
        return str(reason)
    return ""


def test_a_lab_in_the_mode_ipvs_or_why_there_is_none() -> None:
    with lab_of("ipvs") as lab:
        done = lab.up("--nodes", "2", "--detach", "--proxy-mode", "ipvs")
        if reason := why_no_ipvs():
            assert done.returncode == 2
            assert reason in done.stderr
            assert lab.leftovers() == []
            return
        assert done.returncode == 0, done.stderr
        address = lab.serve(2)
        for where in ("node/node1", "pod/web-1"):
            assert re.fullmatch(r"web-[12]", wait_for(partial(lab.ask, where, address)))
        assert f"{address}:80" in lab.exec("node/node1", "ipvsadm", "--list", "--numeric").stdout
        assert lab.down().returncode == 0
        assert lab.leftovers() == []


OWN_MOUNTS = """
import os, sys
from fairlead.node import namespaces
namespaces.unshare(namespaces.CLONE_NEWNS)
namespaces.keep_mounts(namespaces.MS_PRIVATE)
os.execvp(sys.argv[1], sys.argv[1:])
"""
# Everything at its place in a folder that is no mount, as in a chroot made by hand; then the rest as a shell would.
CHROOT = r"""
set -e
for place in /*; do
    if [ -L "$place" ]; then cp -a "$place" "$ROOT/"
    elif [ -d "$place" ]; then mkdir "$ROOT$place"; mount --rbind "$place" "$ROOT$place"
    fi
done
exec chroot "$ROOT" sh -ec '
    "$0" lab up --nodes 1 --detach --name "$1" --kubeconfig "$2"
    kubectl --kubeconfig "$2" -n kube-system get pods
    pod=$(kubectl --kubeconfig "$2" -n kube-system get pods -o name)
    "$0" lab exec --name "$1" pod/kube-system/${pod#pod/} -- hostname
    "$0" lab down --name "$1"
' "$0" "$@"
"""


def test_a_lab_in_a_plain_chroot() -> None:
    with lab_of("chroot") as lab:
        root = lab.folder / "root"
        root.mkdir()
        command = ["sh", "-c", CHROOT, FAIRLEAD, lab.name, str(lab.kubeconfig)]
        done = subprocess.run(
            [sys.executable, "-c", OWN_MOUNTS, *command],
            capture_output=True,
            text=True,
            timeout=2 * LIMIT,
            check=False,
            env={**os.environ, "ROOT": str(root)},
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r"^fairlead-dns-\w+-\w+$", done.stdout, re.MULTILINE), done.stdout
        assert lab.leftovers() == []


def test_an_address_in_use_is_no_obstacle_unless_it_was_asked_for() -> None:
    with lab_of("port") as lab, socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = lab.up("--detach", "--port", port)
        assert done.returncode == 2
        assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
        assert lab.leftovers() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--nodes", "0"), "1 to 240 nodes"),
        (("--nodes", "x"), "Invalid value for '--nodes'"),
        (("--zones", "a,,b"), "'' cannot be a zone"),
        (("--ip-families", "ipx"), "'ipx' is no address family"),
        (("--ip-families", "ipv6,ipv6"), "ipv6 is named twice"),
        (("--region", "a b"), "'a b' cannot be a region"),
        (("--proxy-mode", "magic"), "there is no such mode"),
        (("--store", "etcd:127.0.0.1:2379"), "is no URL of an etcd member"),
        (("--store", "sqlite:/no/such/folder/file"), "there is no directory /no/such/folder"),
        (("--store", "sqlite:damaged.sqlite"), "apiserver ends again and again"),
        (("--images", "no-such-file"), "No such file"),
        (("--images", "damaged.yaml"), "the image map cannot be used"),
        (("--kubeconfig", "/no/such/folder/kubeconfig"), "there is no directory /no/such/folder"),
        (("--kubeconfig", "damaged.yaml"), "was not written by a lab"),
        (("--name", "Not_A_Name"), "cannot be the name of a lab"),
        (("--no-such-option",), "No such option"),
        (("superfluous",), "unexpected extra argument"),
    ],
)
def test_what_cannot_be_made_is_refused_with_a_sentence(words: tuple[str, ...], said: str) -> None:
    with lab_of("refused") as lab:
        (lab.folder / "damaged.yaml").write_text("fairlead/echo: [")
        (lab.folder / "damaged.sqlite").write_text(
            "This is no database, but it is long enough to look at.\n" * 99
        )
        name = () if "--name" in words else ("--name", lab.name)
        kubeconfig = () if "--kubeconfig" in words else ("--kubeconfig", str(lab.kubeconfig))
        done = lab.run("lab", "up", "--detach", *name, *kubeconfig, *words)
        assert done.returncode == 2
        assert said in re.sub(r"[\s│]+", " ", done.stderr)
        assert "Traceback" not in done.stderr
        assert lab.leftovers() == []
        assert (lab.folder / "damaged.yaml").exists()


def test_too_few_rights_are_named() -> None:
    with lab_of("rights") as lab:
        words = ("lab", "up", "--detach", "--name", lab.name, "--kubeconfig", str(lab.kubeconfig))
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", FAIRLEAD, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * LIMIT, check=False)
        assert done.returncode == 2
        assert "CAP_SYS_ADMIN" in done.stderr
        assert lab.leftovers() == []


FORBID = """
import os, sys
from fairlead.node import namespaces
namespaces.unshare(namespaces.CLONE_NEWUSER)
open("/proc/self/uid_map", "w").write("1000 0 1")
open("/proc/sys/user/max_user_namespaces", "w").write("0")
os.execv(sys.argv[1], sys.argv[1:])
"""


@user_namespaces
def test_user_namespaces_that_are_forbidden_are_named_with_the_setting_that_allows_them() -> None:
    with lab_of("forbidden") as lab:
        words = ("lab", "up", "--detach", "--name", lab.name, "--kubeconfig", str(lab.kubeconfig))
        done = subprocess.run(
            [sys.executable, "-c", FORBID, FAIRLEAD, *words],
            capture_output=True,
            text=True,
            timeout=2 * LIMIT,
            check=False,
            env={**os.environ, "XDG_RUNTIME_DIR": str(lab.folder)},
        )
        assert done.returncode == 2
        assert "sysctl user.max_user_namespaces" in done.stderr
        assert not (lab.folder / "fairlead").exists()
