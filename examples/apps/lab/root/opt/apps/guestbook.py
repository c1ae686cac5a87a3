"""The guestbook's frontend: writes messages to the redis leader, reads them from a follower."""

from __future__ import annotations

import html
import os
from typing import Any

from web import Query, redis, serve

ENV = os.environ.get("GET_HOSTS_FROM") == "env"
LEADER = os.environ["REDIS_LEADER_SERVICE_HOST"] if ENV else "redis-leader"
FOLLOWER = os.environ["REDIS_FOLLOWER_SERVICE_HOST"] if ENV else "redis-follower"


def guestbook(query: Query) -> Any:
    """`?cmd=set&key=messages&value=TEXT` and `?cmd=get&key=messages`."""
    key = query.get("key", "messages")
    if query.get("cmd") == "set":
        redis(LEADER, "SET", key, query.get("value", ""))
        return {"message": "Updated"}
    return {"data": redis(FOLLOWER, "GET", key) or ""}


def page(_: Query) -> str:
    """The messages."""
    messages = redis(FOLLOWER, "GET", "messages") or ""
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in messages.split(",") if line)
    body = f"<h1>Guestbook</h1><ul>{lines}</ul>"
    return f"<!DOCTYPE html>\n<html><head><title>Guestbook</title></head><body>{body}</body></html>\n"


serve(80, {"/": page, "/guestbook.php": guestbook})
