"""Servers that say hello or who asks: what tutorials of Services, Ingresses and load balancers run.

Each is a stand-in of our own for the image in its docstring: the same ports, flags, variables and form of the answer.
"""

from __future__ import annotations

import html
import json
import os
import secrets
import socket
import sys
import time
import uuid

from fairlead.node.programs.agnhost import flags
from fairlead.node.programs.serving import Answer, Request, serve


def http_echo() -> int:
    """hashicorp/http-echo: the text of -text on the port of -listen (:5678)."""
    given = flags(sys.argv[1:])
    text = given.get("text", os.environ.get("ECHO_TEXT", ""))
    if not text:
        print("Missing -text option!", file=sys.stderr)
        return 127
    port = int(given.get("listen", ":5678").rpartition(":")[2])
    status = int(given.get("status-code", "200"))
    body = f"{text}\n".encode()
    return serve({port: lambda _: Answer(body, status)}, announce=f"[INFO] server is listening on :{port}")


def whoami() -> int:
    """traefik/whoami: the host, its addresses and the request; /api as JSON, /health. --port (80), --name."""
    given = flags(sys.argv[1:])
    port = int(given.get("port", os.environ.get("WHOAMI_PORT_NUMBER", "80")))
    name = given.get("name", os.environ.get("WHOAMI_NAME", ""))

    def handle(request: Request) -> Answer:
        if request.path == "/health":
            return Answer()
        if request.path == "/api":
            headers = {key: [value] for key, value in request.header_lines}
            said = {
                "hostname": socket.gethostname(),
                "ip": _addresses(),
                "headers": headers,
                "url": request.target,
                "host": request.headers.get("host", ""),
                "method": request.method,
                "remoteAddr": f"{request.client[0]}:{request.client[1]}",
            }
            return Answer(
                json.dumps(said | ({"name": name} if name else {})).encode(), kind="application/json"
            )
        lines = [f"Name: {name}"] if name else []
        lines += [f"Hostname: {socket.gethostname()}", *(f"IP: {address}" for address in _addresses())]
        lines += [f"RemoteAddr: {request.client[0]}:{request.client[1]}"]
        lines += [f"{request.method} {request.target} {request.version}"]
        lines += [f"{key}: {value}" for key, value in request.header_lines]
        return Answer(("\n".join(lines) + "\n\n").encode())

    return serve({port: handle}, announce=f"Starting up on port {port}")


def jwilder_whoami() -> int:
    """jwilder/whoami: "I'm" and the host's name, on $PORT (8000)."""
    said = f"I'm {socket.gethostname()}\n".encode()
    port = int(os.environ.get("PORT", "8000"))
    return serve({port: lambda _: Answer(said)}, announce=f"Listening on :{port}")


def hello_app_1() -> int:
    """gcr.io/google-samples/hello-app:1.0."""
    return _hello_app("1.0.0")


def hello_app_2() -> int:
    """gcr.io/google-samples/hello-app:2.0."""
    return _hello_app("2.0.0")


def _hello_app(version: str) -> int:
    said = f"Hello, world!\nVersion: {version}\nHostname: {socket.gethostname()}\n".encode()
    port = int(os.environ.get("PORT", "8080"))
    return serve({port: lambda _: Answer(said)}, announce=f"Server listening on port {port}")


def hello() -> int:
    """nginxdemos/hello: server, name, date, URI of the request as a page; as text to clients that are no browsers."""

    def handle(request: Request) -> Answer:
        facts = {
            "Server address": f"{request.server[0]}:{request.server[1]}",
            "Server name": socket.gethostname(),
            "Date": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()),
            "URI": request.target,
            "Request ID": secrets.token_hex(16),
        }
        if "text/html" not in request.headers.get("accept", ""):
            return Answer("".join(f"{key}: {value}\n" for key, value in facts.items()).encode())
        rows = "".join(
            f"<p><span>{key}:</span> <span>{html.escape(value)}</span></p>" for key, value in facts.items()
        )
        page = f"<!DOCTYPE html>\n<html><head><title>Hello World</title></head><body>{rows}</body></html>\n"
        return Answer(page.encode(), kind="text/html")

    return serve({80: handle})


def echo_server() -> int:
    """kicbase/echo-server: the request as text, and which host has served it, on $PORT (8080)."""

    def handle(request: Request) -> Answer:
        lines = [
            f"Request served by {socket.gethostname()}",
            "",
            f"{request.version} {request.method} {request.target}",
        ]
        lines += ["", *(f"{key}: {value}" for key, value in request.header_lines), ""]
        return Answer("\n".join(lines).encode() + request.body)

    return serve({int(os.environ.get("PORT", "8080")): handle})


def httpbin() -> int:
    """kennethreitz/httpbin, of which: /get, /post, /anything, /headers, /ip, /user-agent, /status, /delay, /uuid."""
    return serve({int(os.environ.get("PORT", "80")): httpbin_answer})


def httpbin_answer(request: Request) -> Answer:
    """One request to httpbin."""
    parts = request.path.strip("/").split("/")
    host = request.headers.get("host", "")
    facts = {
        "args": {key: values[0] if len(values) == 1 else values for key, values in request.query.items()},
        "headers": dict(request.header_lines),
        "origin": request.headers.get("x-forwarded-for", request.client[0]),
        "url": f"http://{host}{request.target}",
    }
    match parts:
        case ["headers"]:
            return _json({"headers": facts["headers"]})
        case ["ip"]:
            return _json({"origin": facts["origin"]})
        case ["user-agent"]:
            return _json({"user-agent": request.headers.get("user-agent", "")})
        case ["uuid"]:
            return _json({"uuid": str(uuid.uuid4())})
        case ["status", code] if code.isdecimal() and 200 <= int(code) < 600:
            return Answer(status=int(code))
        case ["delay", seconds] if seconds.replace(".", "", 1).isdecimal():
            time.sleep(min(float(seconds), 10))
            return _json(facts)
        case ["get"] | ["post"] | ["put"] | ["patch"] | ["delete"] if parts[0].upper() == request.method:
            return _json(
                facts if request.method == "GET" else facts | {"data": request.body.decode(errors="replace")}
            )
        case ["anything", *_]:
            return _json(facts | {"method": request.method, "data": request.body.decode(errors="replace")})
    return Answer(b"Not Found\n", status=404)


def _json(value: object) -> Answer:
    return Answer((json.dumps(value, indent=2, sort_keys=True) + "\n").encode(), kind="application/json")


def _addresses() -> list[str]:
    found = {"127.0.0.1"}
    for family, probe in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((probe, 9))  # sends nothing: it only chooses an address
                found.add(sock.getsockname()[0])
        except OSError:
            continue
    return sorted(found)
