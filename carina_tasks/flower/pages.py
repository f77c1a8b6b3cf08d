"""Pages beside Flower's own: the cluster, and the broker's queues.

They show the published status, from the copy in Redis that control workers write: Flower has no
access to the API server, and needs none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from celery import Celery
from flower.views import BaseHandler
from flower.views.broker import BrokerView
from tornado.ioloop import IOLoop
from tornado.web import authenticated

from carina_tasks import queues
from carina_tasks.errors import BrokerUnavailable
from carina_tasks.model import published, times
from carina_tasks.model.progress import PHASES
from carina_tasks.model.published import Published
from carina_tasks.store.latest_results import LatestResults

COLOURS: Mapping[str, str] = {
    "HEALTHY": "success",
    "WORKING": "primary",
    "AT RISK": "warning",
    "DEGRADED": "danger",
    "STOPPED": "danger",
    "UNKNOWN": "secondary",
}
"""The colour (Bootstrap's name) of each level."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page of the cluster is rendered from."""

    status: Published | None
    now: float
    """Seconds since the epoch, by the clock of Flower's machine."""
    trouble: str = ""
    """Why there is no status."""

    @property
    def age(self) -> float:
        """Seconds since a control worker wrote the status."""
        return max(0.0, self.now - published.seconds(self.status.written)) if self.status else 0.0

    @property
    def how_old(self) -> str:
        """The age as the commands show it."""
        return times.age(self.age)

    @property
    def stale(self) -> bool:
        """No control worker writes it any more."""
        return self.age > published.STALE_AFTER

    @property
    def colour(self) -> str:
        """The colour of the verdict."""
        if self.status is None or self.stale:
            return "secondary"
        return COLOURS.get(self.status.level, "secondary")

    def swept(self) -> str:
        """Return when the sweeps ended well."""
        if self.status is None:
            return ""
        sweeps = (
            ("local volumes", self.status.local_sweep),
            ("LogicVolumes", self.status.logic_sweep),
        )
        return ", ".join(
            f"{what} {self.since(at)} ago" if at else f"{what} not yet" for what, at in sweeps
        )

    def since(self, text: str) -> str:
        """Return how long ago a time of the status is, ``-`` when it is not known."""
        at = published.seconds(text)
        return times.age(self.now - at) if at else "-"

    @staticmethod
    def moment(text: str) -> str:
        """Return a time of the status as the commands show it."""
        return times.moment(published.seconds(text))

    @staticmethod
    def share(step: str) -> int:
        """Return how far a rebuild is, in percent, from its step ``2/5 …``."""
        number = step.partition("/")[0]
        return 100 * int(number) // len(PHASES) if number.isdigit() else 0

    @staticmethod
    def lines_of(total: int, shown: int, what: str) -> str:
        """Return what a list leaves out; empty when it has all.

        Args:
            total: How many there are.
            shown: How many are in the list.
            what: What they are.
        """
        return f"and {total - shown} more {what}" if total > shown else ""

    @property
    def states(self) -> list[tuple[str, int]]:
        """The states that logic volumes are in, with how many of each."""
        if self.status is None:
            return []
        volumes = self.status.volumes
        names = [name for name in volumes.__struct_fields__ if name != "total"]
        counts = [(name.replace("_", "-"), getattr(volumes, name)) for name in names]
        return [one for one in counts if one[1]]


def read(app: Celery) -> Published | None:
    """Return the published status, None when no control worker has written one.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    return LatestResults(app).last(published.RESULT, Published)


class First(BaseHandler):  # type: ignore[misc]
    """The first page is that of the cluster."""

    @authenticated
    def get(self) -> None:
        """Send the browser there."""
        self.redirect(self.reverse_url("cluster"))


class Cluster(BaseHandler):  # type: ignore[misc]
    """Nodes, volumes, what needs attention: the published status."""

    @authenticated
    async def get(self) -> None:
        """Read it in a thread, so that no page waits for the broker."""
        status, trouble = None, "no control worker has written one yet: it takes half a minute"
        try:
            status = await IOLoop.current().run_in_executor(None, read, self.capp)
        except BrokerUnavailable as exc:
            logging.getLogger(__name__).warning("no status: %s", exc.message)
            trouble = exc.message
        shown = Shown(status, time.time(), "" if status else trouble)
        self.render("cluster.html", shown=shown, status=status)


class Broker(BrokerView):  # type: ignore[misc]
    """The broker's queues: those of existing nodes, whether or not their workers send events."""

    known: tuple[str, ...] = ()
    """The queues of the nodes of the published status."""

    @authenticated
    async def get(self) -> None:
        """Learn which nodes exist, then show the page."""
        try:
            status = await IOLoop.current().run_in_executor(None, read, self.capp)
        except BrokerUnavailable as exc:
            logging.getLogger(__name__).warning("no status: %s", exc.message)
            status = None
        nodes = status.nodes if status else ()
        self.known = tuple(
            queues.NODE_PREFIX + node.node for node in nodes if node.ready != "deleted"
        )
        await super().get()

    def get_active_queue_names(self) -> list[str]:
        """Return the queue of the control workers, then those of the nodes.

        A worker that Flower saw may be one of a node that was deleted since: the status counts.
        """
        seen = super().get_active_queue_names()
        nodes = self.known or [name for name in seen if name.startswith(queues.NODE_PREFIX)]
        return [queues.CONTROL, *nodes]
