"""The host's end of the serial line into a node: a JSON object a line, each request with an id.

It is no part of the product: tests use it to look at a node, and to do to it what an administrator
would do, also while its network is cut.
"""

import itertools
import json
import os
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from tests.lab.errors import GuestStoodStill, LabError

PIECE, PAUSE = 1024, 0.02
"""Bytes of one write, and seconds between two: the guest's terminal holds 4096 bytes and loses what
comes beyond that.
"""


class Channel:
    """One serial line. `guest_fds` are the ends that the node's kernel gets: to read from and to
    write to.
    """

    def __init__(self) -> None:
        self._guest_in, self._out = os.pipe()
        self._in, self._guest_out = os.pipe()
        self.guest_fds = (self._guest_in, self._guest_out)
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._hello: Future[float] = Future()
        self._closed = False

    def attach(self) -> None:
        """Begin to read, once the kernel has its ends: ours of those are closed, so that its end is
        seen.
        """
        os.close(self._guest_in)
        os.close(self._guest_out)
        threading.Thread(target=self._read, daemon=True, name="uml-channel").start()

    def hello(self, timeout: float) -> float:
        """Wait for the node's first line; return its uptime then, in seconds. Raises LabError."""
        try:
            return self._hello.result(timeout)
        except FutureTimeout:
            raise LabError(f"the node said nothing within {timeout:g} s") from None

    def call(self, operation: str, patience: float, **arguments: Any) -> Any:
        """Ask the node to do something and return its answer.

        Raises LabError when the node reports an error or has ended, GuestStoodStill when it does
        not answer within `patience` seconds.
        """
        answer: Future[Any] = Future()
        number = next(self._ids)
        line = json.dumps({"id": number, "op": operation, "with": arguments}).encode() + b"\n"
        with self._lock:
            if self._closed:
                raise LabError("the node is not up")
            self._waiting[number] = answer
            try:
                for start in range(0, len(line), PIECE):
                    if start:
                        time.sleep(PAUSE)
                    os.write(self._out, line[start : start + PIECE])
            except BrokenPipeError:
                raise LabError("the node has ended") from None
        try:
            return answer.result(patience)
        except FutureTimeout:
            raise GuestStoodStill(
                f"the node did not answer within {patience:g} s: {operation} {arguments}"
            ) from None
        finally:
            self._waiting.pop(number, None)

    def _read(self) -> None:
        with os.fdopen(self._in, "rb") as lines:
            for line in lines:
                message = json.loads(line)
                if "hello" in message:
                    self._hello.set_result(message["hello"])
                elif answer := self._waiting.get(message["id"]):
                    if "error" in message:
                        answer.set_exception(LabError(message["error"]))
                    else:
                        answer.set_result(message["ok"])
        with self._lock:
            self._closed = True
            os.close(self._out)
            ended = LabError("the node ended")
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ended)
            if not self._hello.done():
                self._hello.set_exception(ended)
