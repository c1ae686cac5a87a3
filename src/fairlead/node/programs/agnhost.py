"""registry.k8s.io/e2e-test-images/agnhost: of its many commands those that tutorials and tests of Services use.

Upstream: test/images/agnhost (README.md there says what each path answers).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import quote, unquote
from urllib.request import urlopen

from fairlead.node.programs.serving import Answer, Request, plain, serve, start, wait

VERSION = "2.53"


def main() -> int:
    """Runs the command in the arguments; gives the exit status."""
    command, *words = [word for word in sys.argv[1:] if word] or ["pause"]
    if command in ("--version", "version"):
        print(f"agnhost version {VERSION}")
        return 0
    if command == "connect":
        return connect(words)
    run = COMMANDS.get(command)
    if run is None:
        known = ", ".join(("connect", *COMMANDS))
        print(f"Error: unknown command {command!r} for this agnhost, which knows: {known}", file=sys.stderr)
        return 1
    return run(flags(words))


def pause(_: dict[str, str]) -> int:
    """Does nothing until it is told to end."""
    wait()
    return 0


def wait_only() -> int:
    """registry.k8s.io/pause, by itself."""
    return pause({})


def serve_hostname(flags: dict[str, str]) -> int:
    """Answers the pod's name, by HTTP, or with --tcp or --udp over these."""
    port = int(flags.get("port", "9376"))
    name = socket.gethostname().encode()
    if flags.get("udp") == "true":
        _datagrams(port, lambda *_: name)
    elif flags.get("tcp") == "true":
        _connections(port, name)
    else:
        return serve({port: lambda _: Answer(name)}, announce=f"Serving on port {port}.")
    wait()
    return 0


def liveness(_: dict[str, str]) -> int:
    """A server that is well for ten seconds, for examples of probes."""
    from fairlead.node.programs import tutorials

    return tutorials.liveness()


def connect(words: list[str]) -> int:
    """Whether HOST:PORT can be connected to (TCP; --timeout 3s): a word on stderr and 1 where not."""
    places = [word for word in words if ":" in word and not word.startswith("-")]
    if not places:
        print("Error: accepts 1 arg(s), received 0", file=sys.stderr)
        return 1
    host, _, port = places[0].rpartition(":")
    limit = float(flags(words).get("timeout", "0").rstrip("s") or 0)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=limit or None).close()
    except ConnectionRefusedError:
        print("REFUSED", file=sys.stderr)
    except TimeoutError:
        print("TIMEOUT", file=sys.stderr)
    except socket.gaierror as error:
        print(f"DNS: {error.strerror}", file=sys.stderr)
    except (OSError, ValueError) as error:
        print(f"OTHER: {error}", file=sys.stderr)
    else:
        return 0
    return 1


def netexec(flags: dict[str, str]) -> int:
    """An HTTP server and a UDP server that tell of themselves and run what they are asked to."""
    http, udp = int(flags.get("http-port", "8080")), int(flags.get("udp-port", "8081"))
    delay = float(flags.get("delay-shutdown", "0"))
    if udp > 0:
        _datagrams(udp, _answer_datagram)
    try:
        start(http, answer)
    except OSError as error:
        print(f"cannot listen on port {http}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"Started HTTP server on port {http}")
    if udp > 0:
        print(f"Started UDP server on port {udp}")
    wait()
    time.sleep(delay)
    return 0


def answer(request: Request) -> Answer:
    """One request to netexec."""
    path = request.path
    routes: dict[str, Callable[[Request], Answer]] = {
        "/": lambda _: Answer(f"NOW: {time.strftime('%Y-%m-%d %H:%M:%S +0000 UTC', time.gmtime())}".encode()),
        "/clientip": lambda r: Answer(_joined(r.client).encode()),
        "/echo": lambda r: Answer(r.first("msg").encode(), status=int(r.first("code", "200") or 200)),
        "/healthz": lambda _: Answer(),
        "/readyz": lambda _: Answer(b"ok"),
        "/hostname": lambda _: Answer(socket.gethostname().encode()),
        "/hostName": lambda _: Answer(socket.gethostname().encode()),
        "/header": lambda r: Answer(r.headers.get(r.first("key").lower(), "").encode()),
        "/redirect": lambda r: Answer(
            status=int(r.first("code", "302")), headers={"Location": r.first("location")}
        ),
        "/shell": lambda r: _json(_shell(r.first("shellCommand") or r.first("cmd"))),
        "/dial": lambda r: _json(_dial(r)),
        "/exit": _exit,
        "/shutdown": lambda _: _exit(request),
    }
    route = routes.get(path)
    return route(request) if route else Answer(b"404 page not found\n", status=404)


def _exit(request: Request) -> Answer:
    code = request.first("code", "0")
    threading.Timer(
        float(request.first("timeout", "0").rstrip("s") or 0), os._exit, (int(code or 0),)
    ).start()
    return Answer()


def _shell(command: str) -> dict[str, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", command], check=False, capture_output=True, text=True, errors="replace"
    )
    said = {"output": done.stdout + done.stderr}
    if done.returncode:
        said["error"] = f"exit status {done.returncode}"
    return said


def _dial(request: Request) -> dict[str, list[str]]:
    """Asks another netexec, and says what came back."""
    host, port = request.first("host"), int(request.first("port", "8080"))
    what, protocol = request.first("request", "hostname"), request.first("protocol", "http")
    responses, errors = [], []
    for _ in range(min(int(request.first("tries", "1")), 1000)):
        try:
            responses.append(_ask(protocol, host, port, unquote(what)))
        except OSError as error:
            errors.append(str(error))
    return {"responses": responses, **({"errors": errors} if errors else {})}


def _ask(protocol: str, host: str, port: int, what: str) -> str:
    if protocol == "udp":
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect((host, port))
            sock.send(what.encode())
            return sock.recv(4096).decode(errors="replace")
    target = f"http://{_joined((host, port))}/{quote(what, safe='/?=&%')}"
    with urlopen(target, timeout=5) as answered:
        return str(answered.read(65536).decode(errors="replace"))


def _answer_datagram(text: str, client: tuple[str, int]) -> bytes:
    command, _, rest = text.strip().partition(" ")
    match command.lower():
        case "hostname":
            return socket.gethostname().encode()
        case "clientip":
            return _joined(client).encode()
        case "echo":
            return rest.encode()
    return b""


def _datagrams(port: int, respond: Callable[[str, tuple[str, int]], bytes]) -> None:
    family = socket.AF_INET6 if os.path.exists("/proc/net/if_inet6") else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("", port))

    def run() -> None:
        while True:
            try:
                data, client = sock.recvfrom(65536)
                said = respond(data.decode(errors="replace"), plain(client))
                if said:
                    sock.sendto(said, client)
            except OSError:  # an ICMP error for an earlier answer
                continue

    threading.Thread(target=run, daemon=True).start()


def _connections(port: int, said: bytes) -> None:
    listener = socket.create_server(("", port), family=socket.AF_INET)

    def run() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(said)

    threading.Thread(target=run, daemon=True).start()


def _json(value: object) -> Answer:
    return Answer(json.dumps(value).encode(), kind="application/json")


def _joined(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def flags(words: list[str]) -> dict[str, str]:
    """`--name=value`, `--name value` or `--name` for true, with one dash or two."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).lstrip("-").partition("=")
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("-") else "true"
        found[name] = value
    return found


COMMANDS: dict[str, Callable[[dict[str, str]], int]] = {
    "liveness": liveness,
    "netexec": netexec,
    "pause": pause,
    "serve-hostname": serve_hostname,
}
