"""A lab of a test's own, as its users have it: its commands, kubectl, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fairlead.lab.state import NoLab, Process, StateDirectory
from tests import ordinary
from tests.lab.conftest import wait_for
from tests.waiting import LIMIT

FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))
NOBODY = 65534
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web-NUMBER, labels: {app: web}}
spec:
  containers:
  - name: echo
    image: fairlead/echo
    ports: [{containerPort: 8080}, {containerPort: 9000}]
    readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""
ASK = """
import json, sys, urllib.request
print(json.load(urllib.request.urlopen(sys.argv[1], timeout=10))["pod"])
"""
# Asks the API, by way of the Service that every cluster has, for whom it takes us.
WHO_AM_I = """
import json, pathlib, ssl, urllib.request
account = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
request = urllib.request.Request(
    "https://kubernetes.default.svc/apis/authentication.k8s.io/v1/selfsubjectreviews",
    json.dumps(kind).encode(),
    {"Authorization": f"Bearer {(account / 'token').read_text()}", "Content-Type": "application/json"},
)
context = ssl.create_default_context(cafile=str(account / "ca.crt"))
with urllib.request.urlopen(request, context=context, timeout=60) as answer:
    print(json.load(answer)["status"]["userInfo"]["username"])
"""
HTTP = "{name: http, port: 80, targetPort: 8080}"
BALANCED = """
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  type: LoadBalancer
  externalTrafficPolicy: POLICY
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
"""
ASK_CLIENT = """
import json, sys, urllib.request
for _ in range(20):
    answer = json.load(urllib.request.urlopen(sys.argv[1], timeout=5))
    print(answer["node"], answer["client"])
"""


@dataclass
class Lab:
    """A lab by name, made by the user `uid` from the folder `folder`."""

    name: str
    folder: Path
    uid: int = 0
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> StateDirectory:
        parent = Path("/run/fairlead") if self.uid == 0 else Path(f"/tmp/fairlead-{self.uid}")
        return StateDirectory(self.name, parent / self.name)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Runs `fairlead WORDS` as the lab's user, as from a terminal."""
        environment = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
        # What a shell starts in the background ignores SIGINT, and what nohup starts SIGHUP, with all that it starts.
        command = ["/usr/bin/env", "--default-signal", FAIRLEAD, *words]
        if self.uid:
            command = [sys.executable, ordinary.__file__, str(self.uid), *command]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**environment, "HOME": str(self.folder), **self.environment},
        )

    def run(self, *words: str, timeout: float = 2 * LIMIT) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def up(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("lab", "up", "--name", self.name, "--kubeconfig", str(self.kubeconfig), *words)

    def down(self) -> subprocess.CompletedProcess[str]:
        return self.run("lab", "down", "--name", self.name)

    def exec(self, where: str, *command: str) -> subprocess.CompletedProcess[str]:
        return self.run("lab", "exec", "--name", self.name, where, "--", *command)

    def kubectl(self, *words: str, text: str = "") -> str:
        done = self.tries_kubectl(*words, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tries_kubectl(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *words]
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=2 * LIMIT, check=False
        )

    def serve(self, pods: int) -> str:
        """Makes a Service of echo pods; gives its address once all are ready and every node leads there."""
        text = "".join(PODS.replace("NUMBER", str(i + 1)) for i in range(pods)) + SERVICE
        self.kubectl("apply", "-f", "-", text=text)
        self.kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", f"--timeout={LIMIT:.0f}s")
        address = self.kubectl("get", "svc", "web", "-o", "jsonpath={.spec.clusterIP}")
        for node in self.kubectl("get", "nodes", "-o", "name").split():
            wait_for(lambda node=node: self.reaches(node, address))  # type: ignore[misc]
        return address

    def ask(self, where: str, address: str) -> str:
        """The name of the pod that answers at an address; empty when none does."""
        return self.exec(where, sys.executable, "-c", ASK, f"http://{address}").stdout.strip()

    def reaches(self, where: str, address: str, port: int = 80) -> bool:
        """Whether anybody accepts connections to a port of an address, which takes at most a second."""
        return self.exec(where, "timeout", "1", "bash", "-c", f"< /dev/tcp/{address}/{port}").returncode == 0

    def balance(self, name: str, policy: str, *, wanted: str = "", spec: str = "", ports: str = HTTP) -> str:
        """Makes a load balancer for the pods, or changes it, with more in its `spec`; gives its address."""
        text = BALANCED.replace("NAME", name).replace("POLICY", policy).replace(HTTP, ports)
        for line in (f"loadBalancerIP: {wanted}" if wanted else "", spec):
            text = text.replace("spec:\n", f"spec:\n  {line}\n") if line else text
        self.kubectl("apply", "-f", "-", text=text)
        where = "jsonpath={.status.loadBalancer.ingress[0].ip}"
        return wait_for(lambda: self.kubectl("get", "svc", name, "-o", where))

    def seen(self, address: str) -> set[tuple[str, str]]:
        """Node and client of twenty connections from outside, as the pods saw them; none if one of them failed."""
        done = self.exec("outside", sys.executable, "-c", ASK_CLIENT, f"http://{address}")
        found = (line.split() for line in done.stdout.splitlines())
        return {(node, client) for node, client in found} if done.returncode == 0 else set()

    def clients(self, address: str) -> set[str]:
        """Whom the pods saw in twenty connections from outside; none if one of them failed."""
        return {client for _, client in self.seen(address)}

    def inside(self, namespace: str, *command: str) -> str:
        """What a command says in a namespace of the lab, run as root of the machine."""
        name = self.directory.network.path(namespace).name
        return subprocess.run(
            ["ip", "netns", "exec", name, *command], capture_output=True, text=True, check=True
        ).stdout

    def dns(self) -> str:
        """The place that is the pod of the cluster's DNS."""
        names = self.kubectl("-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "name")
        return names.strip().replace("pod/", "pod/kube-system/")

    def processes(self) -> dict[str, Process]:
        """Its processes that live, by name."""
        with suppress(NoLab):
            return {p.name: p for p in self.directory.read().processes if p.identity.is_alive()}
        return {}

    def leftovers(self) -> list[str]:
        """What is still there of it: files, namespaces, mounts, processes."""
        left = [str(p) for p in (self.directory.path, self.kubeconfig) if p.exists()]
        left += [p.name for p in self.directory.network.leftovers()]
        mark = f"fairlead-{self.name}-"
        left += [line for line in Path("/proc/self/mounts").read_text().splitlines() if mark in line]
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                # Forks keep their parent's command line.
                if self.name.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                    left.append(f"process {process.name}")
        return left


@contextmanager
def lab_of(name: str, uid: int = 0) -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="fairlead-test-"))
    os.chown(folder, uid, uid)
    made = Lab(f"{name}-{os.getpid()}", folder, uid)
    try:
        if uid:
            done = made.run("--version")
            assert done.returncode == 0, done.stderr
        yield made
    finally:
        made.down()
        shutil.rmtree(folder, ignore_errors=True)
