"""What most cases begin and end with: the product, volumes to be lost, and the line that
tells it.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from tests.chaos.promise import ONE, THREE, TWO, Promise
from tests.chaos.proxy import Proxy
from tests.lab import kube as k
from tests.lab.lab import Lab
from tests.lab.processes import Process
from tests.system.product import Product

ALL = ("control", "beat", "node_watch")


@dataclass
class Case:
    """What one line tells."""

    done: str = ""
    expected: str = ""
    seen: str = ""
    seconds: float | None = None

    def __call__(self, done: str, expected: str) -> None:
        """Say what is going to be done and what is expected of the product."""
        self.done, self.expected = done, expected

    def line(self, outcome: str) -> str:
        """Return the line."""
        time = "-" if self.seconds is None else f"{self.seconds:.1f} s"
        return (
            f"{outcome} | {self.done} | expected: {self.expected} | seen: {self.seen or '-'} | "
            f"converged in {time}"
        )


class Story:
    """One case: `tell`, `begin`, something bad, `end`. With `proxy` the product reaches the API
    server by it only.
    """

    product: Product
    promise: Promise
    control: Process

    def __init__(self, lab: Lab, case: Case, proxy: Proxy | None = None) -> None:
        self.lab, self.case, self.proxy = lab, case, proxy
        self.tell = case
        self._begun = time.monotonic()

    def begin(
        self,
        *processes: str,
        only: str = "",
        count: int = 3,
        source: str = ONE,
        pods: int | None = None,
        migrate: str | None = None,
        env: dict[str, str] | None = None,
        node_env: dict[str, str] | None = None,
        **settings: str,
    ) -> Promise:
        """Start the product (all of it by default) and make `count` volumes on `source`; return the
        promise.

        `only` is the one node that may take them: it is empty, and the third is cordoned.
        """
        self.product = Product(self.lab, **settings)
        self.product.env |= env or {}
        self.product.node_env |= node_env or {}
        if self.proxy:
            self.product.env["KUBECONFIG"] = str(self.proxy.kubeconfig)
        self.control = self.product.start(*(processes or ALL))[0]
        bystanders = (TWO, THREE) if not only else tuple({ONE, TWO, THREE} - {only, source})
        self.promise = Promise(
            self.product,
            count=count,
            source=source,
            pods=pods,
            migrate=migrate,
            bystanders=bystanders,
        )
        for name in bystanders if only else ():
            self.lab.kubectl("cordon", name)
        self._begun = time.monotonic()
        return self.promise

    def delete_node(self, name: str = ONE) -> None:
        """Delete a node; the clock of the case starts here."""
        self.mark()
        self.lab.kubectl("delete", "node", name)

    def wait_journal(self) -> None:
        """Wait until the first journal is written: the rebuild has begun."""
        self.lab.world.wait("a journal is written", self.product.journals, 30)

    def uuids(self, node: str) -> dict[str, str]:
        """Return the LV UUIDs of the volumes to be moved, as long as they are on `node`."""
        return {name: self.product.lv_uuid(node, f"volume-{name}") for name in self.promise.moving}

    def allow(self, node: str) -> None:
        """Let pods and volumes come to a node that was cordoned."""
        self.lab.kube.patch(f"{k.NODES}/{node}", {"spec": {"unschedulable": None}})

    def mark(self) -> None:
        """Start the clock of the case again: what was bad is over."""
        self._begun = time.monotonic()
        self.case.seconds = None

    def converge(self, timeout: float = 150, *, away: bool = True) -> None:
        """Wait until every volume to be moved is whole again, and note the seconds."""
        self.case.seconds = self.promise.wait(timeout, since=self._begun, away=away)

    def end(
        self, seen: str = "", *, timeout: float = 150, away: bool = True, gone: Collection[str] = ()
    ) -> None:
        """Wait until all is as promised, look at everything, and note what was seen and where the
        volumes are.

        The seconds are those of an earlier `converge`, when there was one on the same clock.
        """
        first = self.case.seconds
        self.converge(timeout, away=away)
        if first is not None:
            self.case.seconds = first
        self.promise.check(gone=gone)
        where = ", ".join(
            f"{count} on {node}" for node, count in sorted(self.promise.nodes().items())
        )
        self.case.seen = "; ".join(filter(None, (seen, f"volumes: {where}")))
