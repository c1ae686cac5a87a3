"""The servers of the tutorials on kubernetes.io that exist for these tutorials only.

Each is a stand-in of our own for the image in its docstring: the same ports, paths and form of the answer.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from urllib.error import HTTPError
from urllib.request import urlopen

from fairlead.node.programs.agnhost import flags, serve_hostname
from fairlead.node.programs.serving import Answer, Request, serve

HEALTHY = 10.0
"""Seconds for which `liveness` is well."""


def hostnames() -> int:
    """serve_hostname, the image of its own from before agnhost: the host's name at 9376."""
    return serve_hostname(flags(sys.argv[1:]))


def echoserver() -> int:
    """echoserver from 1.5 on: the pod, the server and the request, at 8080."""
    return serve({8080: echo}, announce="Listening on 8080")


def echoserver_1_4() -> int:
    """echoserver up to 1.4: the same in the form of "Using Source IP"."""
    return serve({8080: echo_1_4}, announce="Listening on 8080")


def echo(request: Request) -> Answer:
    """What echoserver answers; of the pod what its environment tells."""
    told = {
        "node name": os.environ.get("NODE_NAME", ""),
        "pod name": os.environ.get("POD_NAME", ""),
        "pod namespace": os.environ.get("POD_NAMESPACE", ""),
        "pod IP": os.environ.get("POD_IP", ""),
    }
    pod = [f"\t{key}:\t{value}" for key, value in told.items() if value] or [
        "\t-no pod information available-"
    ]
    facts = {**_facts(request), "request_scheme": "http"}
    parts = {
        "Pod Information:": pod,
        "Server values:": ["\tserver_version=fairlead"],
        "Request Information:": [f"\t{key}={value}" for key, value in facts.items()],
        "Request Headers:": [f"\t{key.lower()}={value}  " for key, value in sorted(request.header_lines)],
        "Request Body:": [f"\t{_body(request)}"],
    }
    lines = ["", "", f"Hostname: {socket.gethostname()}", ""]
    for title, inside in parts.items():
        lines += [title, *inside, ""]
    return Answer("\n".join([*lines, ""]).encode())


def echo_1_4(request: Request) -> Answer:
    """What echoserver:1.4 answers."""
    lines = ["CLIENT VALUES:"]
    lines += [f"{key}={value or 'nil'}" for key, value in _facts(request).items()]
    lines += ["", "SERVER VALUES:", "server_version=fairlead", "", "HEADERS RECEIVED:"]
    lines += [f"{key.lower()}={value}" for key, value in sorted(request.header_lines)]
    return Answer("\n".join([*lines, "BODY:", _body(request)]).encode())


def _facts(request: Request) -> dict[str, str]:
    host = re.sub(r":\d*$", "", request.headers.get("host", ""))
    return {
        "client_address": request.client[0],
        "command": request.method,
        "real path": request.target,
        "query": request.target.partition("?")[2],
        "request_version": request.version.removeprefix("HTTP/"),
        "request_uri": f"http://{host}:{request.server[1]}{request.target}",
    }


def _body(request: Request) -> str:
    return request.body.decode(errors="replace") or "-no body in request-"


def liveness(clock: Callable[[], float] = time.monotonic) -> int:
    """`agnhost liveness`, and the image liveness before it: /healthz at 8080 is well for ten seconds, then no more."""
    return serve({8080: healthy_at_first(clock)}, announce="Starting server on 8080")


def healthy_at_first(clock: Callable[[], float]) -> Callable[[Request], Answer]:
    """What answers for `liveness`, which was begun now."""
    started = clock()

    def handle(request: Request) -> Answer:
        age = clock() - started
        if request.path == "/started":
            return Answer(f"{age:f}s".encode())
        if request.path != "/healthz":
            return Answer(b"404 page not found\n", 404)
        return Answer(f"error: {age:f}".encode(), 500) if age > HEALTHY else Answer(b"ok")

    return handle


def goproxy() -> int:
    """goproxy, of which the probes ask only whether it listens at 8080."""
    said = b"This is a proxy server. Does not respond to non-proxy requests.\n"
    return serve({8080: lambda _: Answer(said, 500)})


def bootcamp_1() -> int:
    """kubernetes-bootcamp:v1, of "Learn Kubernetes Basics", at 8080."""
    return _bootcamp("1")


def bootcamp_2() -> int:
    """kubernetes-bootcamp:v2."""
    return _bootcamp("2")


def _bootcamp(version: str) -> int:
    said = f"Hello Kubernetes bootcamp! | Running on: {socket.gethostname()} | v={version}\n".encode()
    return serve({8080: lambda _: Answer(said)}, announce="Kubernetes Bootcamp App Started At: 8080")


def node_hello() -> int:
    """node-hello, of "Use a Service to Access an Application in a Cluster", at 8080."""
    return serve({8080: lambda _: Answer(b"Hello Kubernetes!")})


def hello_backend() -> int:
    """hello-go-gke, the back end of "Connecting a Frontend to a Backend", at 80."""
    return serve({80: lambda _: Answer(b'{"message":"Hello"}\n', kind="application/json")})


def hello_frontend() -> int:
    """hello-frontend there: passes on at 80 what the Service `hello` says."""
    return serve({80: partial(ask, "hello")})


def ask(backend: str, request: Request) -> Answer:
    """Another server's answer by HTTP; 502 where it has none."""
    try:
        with urlopen(f"http://{backend}{request.target}", timeout=10) as answered:
            kind = str(answered.headers.get("Content-Type", "text/plain"))
            return Answer(answered.read(1 << 20), answered.status, kind)
    except HTTPError as error:
        return Answer(error.read(1 << 20), error.code)
    except OSError as error:
        return Answer(f"502 Bad Gateway: {error}\n".encode(), 502)


def hpa_example() -> int:
    """hpa-example: OK!, after some computing, at 80."""

    def handle(_: Request) -> Answer:
        x = 0.0001
        for _i in range(1_000_000):
            x += x**0.5
        return Answer(b"OK!")

    return serve({80: handle})


def kuard() -> int:
    """kuard, of which: /, /healthy, /ready and /env/api, at 8080."""
    return serve({8080: kuard_answer}, announce="Serving on HTTP on :8080")


def kuard_answer(request: Request) -> Answer:
    """One request to kuard."""
    match request.path:
        case "/":
            facts = {"hostname": socket.gethostname(), "addr": f"{request.client[0]}:{request.client[1]}"}
            return Answer(json.dumps(facts).encode() + b"\n", kind="application/json")
        case "/healthy" | "/ready":
            return Answer(b"ok")
        case "/env/api":
            said = {"commandLine": sys.argv, "env": dict(os.environ)}
            return Answer(json.dumps(said).encode() + b"\n", kind="application/json")
    return Answer(b"404 page not found\n", 404)
