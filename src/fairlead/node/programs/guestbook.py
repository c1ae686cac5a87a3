"""gb-frontend, the page of the guestbook of kubernetes.io: a stand-in of our own with the same paths and parameters.

It writes to the redis of the Service redis-leader and reads from redis-follower, by their names, or, with
GET_HOSTS_FROM=env, by the variables of these Services.
"""

from __future__ import annotations

import json
import os
import socket

from fairlead.node.programs.serving import Answer, Request, serve

SECONDS = 5.0
"""For which redis may be silent."""

LONGEST = 1 << 20
"""Bytes of a value that are read."""

PAGE = b"""<!DOCTYPE html>
<html><head><title>Guestbook</title></head>
<body><h1>Guestbook</h1>
<form onsubmit="set(); return false"><input id="text"><button>Submit</button></form><ul id="said"></ul>
<script>
function show(said) {
  document.getElementById("said").replaceChildren(...said.split(",").filter(Boolean).map(text => {
    const item = document.createElement("li"); item.textContent = text; return item; }));
}
function ask(query, then) { fetch("guestbook.php?" + query).then(r => r.json()).then(then); }
function get(then) { ask("cmd=get&key=messages", answer => then(answer.data || "")); }
function set() {
  const text = document.getElementById("text").value;
  get(said => ask("cmd=set&key=messages&value=" + encodeURIComponent(said + "," + text), () => get(show)));
}
get(show);
</script></body></html>
"""


class RedisError(OSError):
    """What redis has against a command."""


def main() -> int:
    """Serves at port 80."""
    return serve({80: answer}, announce="guestbook at port 80")


def answer(request: Request) -> Answer:
    """One request; 500 with the reason where redis does not answer."""
    if request.path in ("/", "/index.html"):
        return Answer(PAGE, kind="text/html")
    if request.path != "/guestbook.php":
        return Answer(b"Not Found\n", 404)
    key = request.first("key", "messages")
    try:
        if request.first("cmd") == "set":
            redis(_host("leader", "MASTER"), "SET", key, request.first("value"))
            return _json({"message": "Updated"})
        return _json({"data": redis(_host("follower", "SLAVE"), "GET", key)})
    except OSError as error:
        return Answer(f"{error}\n".encode(), 500)


def _host(role: str, older: str) -> str:
    if os.environ.get("GET_HOSTS_FROM") != "env":
        return f"redis-{role}"
    variables = (f"REDIS_{role.upper()}_SERVICE_HOST", f"REDIS_{older}_SERVICE_HOST")
    return next((os.environ[name] for name in variables if os.environ.get(name)), f"redis-{role}")


def redis(host: str, *words: str, port: int = 6379) -> str:
    """The answer to a command, "" for nothing (RESP, https://redis.io/docs/latest/develop/reference/protocol-spec).

    Raises `RedisError` for what redis refuses, and OSError where it does not answer.
    """
    command = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
    with socket.create_connection((host, port), timeout=SECONDS) as connection:
        connection.sendall(b"*%d\r\n%s" % (len(words), command))
        with connection.makefile("rb") as lines:
            head = lines.readline(LONGEST).decode(errors="replace").rstrip("\r\n")
            if head.startswith("-"):
                raise RedisError(f"redis at {host}: {head[1:]}")
            if not head.startswith("$"):
                return head[1:]
            size = min(int(head[1:]), LONGEST)
            return lines.read(size).decode(errors="replace") if size > 0 else ""


def _json(value: object) -> Answer:
    return Answer(json.dumps(value).encode(), kind="application/json")
