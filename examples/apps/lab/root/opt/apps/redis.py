"""A stand-in for redis-server: strings in memory, the protocol RESP, followers, and a file to begin from again.

    redis-server [FILE] [--port N] [--dir FOLDER] [--appendonly yes] [--replicaof HOST PORT]

Commands: PING, ECHO, SET, GET, DEL, EXISTS, INCR, APPEND, KEYS, DBSIZE, ROLE, INFO, QUIT. A follower refuses to write.
It is for trying manifests on a machine without redis, and for nothing else: it keeps no promise that redis makes.
"""

from __future__ import annotations

import fnmatch
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

WRITES = {"SET", "DEL", "INCR", "APPEND"}
Command = list[bytes]


class Store:
    """Values by key. A write goes to the file, if there is one, and to the followers."""

    def __init__(self, file: Path | None) -> None:
        self.lock = threading.RLock()
        self.values: dict[bytes, bytes] = {}
        self.followers: set[BinaryIO] = set()
        self.leader: tuple[str, int] | None = None
        self.linked = False
        self._file: BinaryIO | None = None
        if file is not None:
            if file.exists():
                with file.open("rb") as old:
                    while (command := read(old)) is not None:
                        self.do(command)
            self._file = file.open("ab")

    def do(self, command: Command) -> bytes:
        """Carries out one command; gives the answer as RESP."""
        name, words = command[0].decode(errors="replace").upper(), command[1:]
        try:
            with self.lock:
                said = self._do(name, words)
                if name in WRITES:
                    self._spread(command)
                return said
        except (IndexError, ValueError):
            return b"-ERR wrong number of arguments, or one that is no number\r\n"

    def clear(self) -> None:
        """Forgets everything: a follower that begins."""
        with self.lock:
            self.values.clear()

    def follow(self, follower: BinaryIO) -> None:
        """Sends everything there is, and from then on each write."""
        with self.lock:
            for key, value in self.values.items():
                follower.write(written([b"SET", key, value]))
            follower.flush()
            self.followers.add(follower)

    def _spread(self, command: Command) -> None:
        data = written(command)
        if self._file is not None:
            self._file.write(data)
            self._file.flush()
        for follower in list(self.followers):
            try:
                follower.write(data)
                follower.flush()
            except OSError:
                self.followers.discard(follower)

    def _do(self, name: str, words: Command) -> bytes:
        values = self.values
        match name:
            case "PING":
                return b"+PONG\r\n"
            case "ECHO":
                return bulk(words[0])
            case "SET":
                values[words[0]] = words[1]
                return b"+OK\r\n"
            case "GET":
                return bulk(values.get(words[0]))
            case "DEL":
                return number(sum(values.pop(key, None) is not None for key in words))
            case "EXISTS":
                return number(sum(key in values for key in words))
            case "INCR":
                values[words[0]] = b"%d" % (int(values.get(words[0], b"0")) + 1)
                return number(int(values[words[0]]))
            case "APPEND":
                values[words[0]] = values.get(words[0], b"") + words[1]
                return number(len(values[words[0]]))
            case "KEYS":
                pattern = words[0].decode()
                found = [key for key in values if fnmatch.fnmatchcase(key.decode(errors="replace"), pattern)]
                return b"*%d\r\n" % len(found) + b"".join(bulk(key) for key in found)
            case "DBSIZE":
                return number(len(values))
            case "ROLE":
                return b"*1\r\n" + bulk(b"slave" if self.leader else b"master")
            case "INFO":
                return bulk(self._info().encode())
        return b"-ERR unknown command '%s'\r\n" % name.encode()

    def _info(self) -> str:
        lines = ["# Replication", f"role:{'slave' if self.leader else 'master'}"]
        if self.leader:
            lines += [
                f"master_host:{self.leader[0]}",
                f"master_link_status:{'up' if self.linked else 'down'}",
            ]
        return "\r\n".join([*lines, f"connected_slaves:{len(self.followers)}", ""])


def read(stream: BinaryIO) -> Command | None:
    """The next command, as RESP or as words of a line; None at the end."""
    line = stream.readline(65536)
    if not line:
        return None
    if not line.startswith(b"*"):
        return line.split() or [b"PING"]
    words = []
    for _ in range(min(int(line[1:]), 1024)):
        size = int(stream.readline(64)[1:])
        if not 0 <= size <= 1 << 20:
            return None
        words.append(stream.read(size))
        stream.read(2)
    return words or [b"PING"]


def written(command: Command) -> bytes:
    """A command as RESP."""
    return b"*%d\r\n" % len(command) + b"".join(bulk(word) for word in command)


def bulk(value: bytes | None) -> bytes:
    """A string as RESP."""
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


def number(value: int) -> bytes:
    """A number as RESP."""
    return b":%d\r\n" % value


class Server(socketserver.ThreadingTCPServer):
    """Listens on one port, in both families where there are two."""

    allow_reuse_address = daemon_threads = True
    address_family = socket.AF_INET6 if os.path.exists("/proc/net/if_inet6") else socket.AF_INET

    def __init__(self, port: int, store: Store) -> None:
        self.store = store
        super().__init__(("", port), Session)


class Session(socketserver.StreamRequestHandler):
    """One client, or one follower."""

    server: Server

    def handle(self) -> None:
        """Answers until the client is gone."""
        store = self.server.store
        try:
            while (command := read(self.rfile)) is not None:
                name = command[0].upper().decode(errors="replace")
                if name == "FOLLOW":
                    store.follow(self.wfile)
                    self.rfile.read(1)  # until it goes
                    store.followers.discard(self.wfile)
                    return
                if name in WRITES and store.leader:
                    self.wfile.write(b"-READONLY You can't write against a read only replica.\r\n")
                else:
                    self.wfile.write(store.do(command))
                if name == "QUIT":
                    return
        except (OSError, ValueError):
            return


def follow(store: Store, leader: tuple[str, int]) -> None:
    """Keeps a copy of what the leader has, for ever."""
    store.leader = leader
    while True:
        try:
            with socket.create_connection(leader, timeout=5) as sock:
                sock.settimeout(None)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.sendall(b"FOLLOW\r\n")
                store.clear()
                store.linked = True
                stream = sock.makefile("rb")
                while (command := read(stream)) is not None:
                    store.do(command)
        except (OSError, ValueError):
            pass
        store.linked = False
        time.sleep(0.2)


def main(words: list[str]) -> int:
    """Runs the server until SIGTERM."""
    given: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            given[word[2:]] = []
        elif given:
            given[list(given)[-1]].append(word)
    folder = Path(given.get("dir", ["."])[0])
    keep = given.get("appendonly", ["no"]) == ["yes"]
    store = Store(folder / "appendonly.aof" if keep else None)
    server = Server(int(given.get("port", ["6379"])[0]), store)
    if "replicaof" in given:
        host, port = given["replicaof"]
        threading.Thread(target=follow, args=(store, (host, int(port))), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("Ready to accept connections", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
