"""Free TCP ports on loopback."""

import socket


def free(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return `count` different ports without a listener."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((host, 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
