"""The commands as a shell runs them: help, wrong use, each component by itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fairlead import __version__
from tests.forks import Forks
from tests.lab.conftest import wait_for
from tests.loopback import free_ports, own_address
from tests.waiting import LIMIT

FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: x, user: x}}]
clusters: [{name: x, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: x, user: {token: x}}]
"""


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(forks: Forks, tmp_path: Path) -> Run:
    """Runs `fairlead WORDS` in a folder of its own."""
    return lambda *words: forks.run(words, {**os.environ, "COLUMNS": "200"}, tmp_path)


@contextmanager
def running(*words: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A component in the foreground; it has to end cleanly when SIGTERM asks it to."""
    process = subprocess.Popen(
        [FAIRLEAD, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
    )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, output
    finally:
        process.kill()
        process.communicate()


def answer(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=LIMIT) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").stdout == f"fairlead {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("lab",),
        *(("lab", name) for name in ("up", "down", "status", "exec")),
        *(
            (name,)
            for name in ("apiserver", "endpoints", "scheduler", "proxy", "dns", "node", "loadbalancer")
        ),
        ("loadbalancer", "manifests"),
    ],
)
def test_every_command_explains_itself(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--help")
    assert done.returncode == 0
    assert " ".join(("Usage: fairlead", *words)) in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no-such-command",), "No such command 'no-such-command'"),
        (("loadbalancer", "no-such-part"), "No such command 'no-such-part'"),
        (("loadbalancer", "--pool", "192.0.2.9-192.0.2.1"), "ends before it begins"),
        (("loadbalancer", "--pool", "a=192.0.2.0/24", "--pool", "192.0.2.9"), "overlap with 192.0.2.0"),
        (
            ("loadbalancer", "--pool-groups", "calico"),
            "there are IPAddressPools of fairlead.dev and metallb.io",
        ),
        (("loadbalancer", "--pool-groups", ""), "there are no pools: give --config, --pool or --pool-groups"),
        (("loadbalancer", "--loadbalancer-class", "a b"), "--loadbalancer-class 'a b'"),
        (("loadbalancer", "--config", "/no/such/file"), "cannot read the pools /no/such/file"),
        (("loadbalancer", "--config", "KUBECONFIG"), "Config of v1 is no pool of fairlead.dev"),
        (("loadbalancer", "--leader-elect-lease-duration", "5s"), "lease-duration must be greater than"),
        (("proxy", "--no-such-option"), "No such option"),
        (("endpoints", "--kubeconfig", "/no/such/file"), "/no/such/file"),
        (("endpoints", "--kubeconfig", "KUBECONFIG", "--log-level", "loud"), "--log-level loud"),
        (("endpoints", "--kubeconfig", "KUBECONFIG", "--health", "here"), "'here' is no address with a port"),
        (("proxy", "--mode", "magic"), "there is no such mode"),
        (("proxy", "--config", "/no/such/file"), "--config /no/such/file: No such file"),
        (("proxy", "--config", "KUBECONFIG"), "this is no KubeProxyConfiguration"),
        (("proxy", "--detect-local-mode", "Guess"), "use ClusterCIDR, NodeCIDR, BridgeInterface"),
        (("proxy", "--detect-local-mode", "BridgeInterface"), "needs --pod-bridge-interface"),
        (("proxy", "--pod-bridge-interface", 'a"; flush'), "this is no interface's name"),
        (("proxy", "--traffic-metrics", "all"), "use none, connections or bytes"),
        (("proxy", "--traffic-metrics", "bytes", "--mode", "ipvs"), "not mark the connections that IPVS"),
        (("proxy", "--cluster-cidr", "10.244.0.0/33"), "--cluster-cidr 10.244.0.0/33"),
        (("proxy", "--nodeport-addresses", "primary,10.0.0.0/8"), "'primary' can only stand alone"),
        (("proxy", "--masquerade-bit", "32"), "Invalid value for '--masquerade-bit'"),
        (("proxy", "--conntrack-udp-timeout", "soon"), "no length of time, such as"),
        (("proxy", "--mode", "iptables", "--dry-run", "/no/such/folder"), "/no/such/folder: No such file"),
        (("dns", "--kubeconfig", "KUBECONFIG", "--domain", "Not A Name"), "domain 'Not A Name'"),
        (("dns", "--workers", "0"), "Invalid value for '--workers'"),
        (("node", "--kubeconfig", "KUBECONFIG"), "--pod-cidr has to be given"),
        (("node", "--pod-cidr", "10.244.300.0/24"), "--pod-cidr 10.244.300.0/24"),
        (("node", "--pod-cidr", "fd00::/64,fd01::/64"), "give one network of a family"),
        (("apiserver", "--store", "etcd:127.0.0.1:2379"), "is no URL of an etcd member"),
        (("apiserver", "--store", "postgres:x"), "write sqlite:PATH or etcd:URL"),
        (("apiserver", "--etcd-cafile", "ca.crt"), "--etcd-cafile is an option of etcd"),
        (("apiserver", "--listen", "127.0.0.1:99999"), "a port is at most 65535"),
        (("apiserver", "--authorization-mode", "Node,ABAC"), "there is no authorization mode 'ABAC'"),
        (("apiserver", "--client-ca-file", "/nothing"), "/nothing: this file cannot be read"),
        (("apiserver", "--service-account-key-file", "/nothing"), "/nothing: this file cannot be read"),
        (("apiserver", "--service-cluster-ip-range", "10.0.0.0/16,10.1.0.0/16"), "one network of a family"),
        (("apiserver", "--service-cluster-ip-range", "fd00::/48"), "/64 at most"),
        (("apiserver", "--service-node-port-range", "32767-30000"), "such as 30000-32767"),
        (("apiserver", "--listen", "192.0.2.1:6443"), "cannot listen on 192.0.2.1 port 6443"),
        (("lab", "exec", "--name", "no-such-lab", "node/node1", "--", "true"), "there is no lab named"),
        (("lab", "down", "--name", "../x"), "cannot be the name of a lab"),
    ],
)
def test_wrong_use_is_a_sentence_and_status_2(
    run: Run, words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    done = run(*(str(kubeconfig) if word == "KUBECONFIG" else word for word in words))
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in re.sub(r"[\s│]+", " ", done.stderr)
    assert "Traceback" not in done.stderr


def test_status_of_no_lab_is_1_and_down_is_0(run: Run) -> None:
    assert run("lab", "status", "--name", "no-such-lab").returncode == 1
    done = run("lab", "down", "--name", "no-such-lab")
    assert (done.returncode, done.stdout) == (0, "There is no lab named 'no-such-lab': nothing to remove.\n")


def test_the_api_server_and_the_controllers_run_by_themselves(tmp_path: Path) -> None:
    address, (port, health) = own_address(), free_ports(2)
    kubeconfig = tmp_path / "admin.kubeconfig"
    server = (
        "apiserver",
        "--directory",
        "server",
        "--listen",
        f"{address}:{port}",
        "--kubeconfig",
        str(kubeconfig),
        "--service-cluster-ip-range",
        "10.7.0.0/24,fd00:7::/112",
        "--service-node-port-range",
        "31000-31000",
        "--token-auth-file",
        "users.csv",
        "--anonymous-auth=false",
        "--api-audiences",
        "here,there",
    )
    (tmp_path / "users.csv").write_text("letmein,alice,7\n")
    with running(*server, folder=tmp_path):
        wait_for(kubeconfig.exists)
        assert kubeconfig.stat().st_mode & 0o777 == 0o600
        kubectl = ["kubectl", "--kubeconfig", str(kubeconfig)]

        def ask(*what: str) -> str:
            done = subprocess.run([*kubectl, "get", *what], capture_output=True, text=True, check=False)
            return done.stdout

        wait_for(lambda: ask("--raw", "/readyz") == "ok")
        assert "kube-system" in ask("namespaces")
        made = [*kubectl, "create", "service", "nodeport", "web", "--tcp=80", "-o", "jsonpath={.spec}"]
        done = subprocess.run(made, capture_output=True, text=True, check=True)
        assert '"clusterIP":"10.7.0.' in done.stdout
        assert '"nodePort":31000' in done.stdout
        for name in ("endpoints", "scheduler", "loadbalancer"):
            component = (name, "--kubeconfig", str(kubeconfig), "--health", f"{address}:{health}")
            with running(*component, folder=tmp_path):
                wait_for(lambda: answer(f"http://{address}:{health}/readyz") == (200, "ok"))
                assert answer(f"http://{address}:{health}/metrics")[0] == 200
    with running(*server, folder=tmp_path):
        wait_for(lambda: "kube-system" in ask("namespaces"))


def test_a_component_waits_for_an_api_that_is_away(tmp_path: Path) -> None:
    kubeconfig, health = tmp_path / "kubeconfig", f"{own_address()}:{free_ports(1)[0]}"
    kubeconfig.write_text(KUBECONFIG)
    with running("endpoints", "--kubeconfig", str(kubeconfig), "--health", health, folder=tmp_path):
        wait_for(lambda: answer(f"http://{health}/healthz")[0] == 200)
        assert answer(f"http://{health}/readyz")[0] == 503


def test_the_images_are_listed_with_those_of_the_map_first(run: Run, tmp_path: Path) -> None:
    (tmp_path / "images.yaml").write_text("shop/*: {entrypoint: [serve, --all]}\n")
    lines = run("images", "--images", str(tmp_path / "images.yaml")).stdout.splitlines()
    assert re.fullmatch(r"shop/\*  +serve --all", lines[1])
    assert any(re.fullmatch(r"registry.k8s.io/pause +built in", line) for line in lines)
    (tmp_path / "images.yaml").write_text("shop: 1\n")
    wrong = run("images", "--images", str(tmp_path / "images.yaml"))
    assert wrong.returncode == 2
    assert "shop: expected an object" in wrong.stderr
