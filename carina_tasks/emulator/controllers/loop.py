"""Runs the controllers in turn after every change, and at least four times a second."""

from __future__ import annotations

import threading
import time
import traceback
from typing import Protocol

from carina_tasks.emulator.controllers.binder import Binder
from carina_tasks.emulator.controllers.kubelet import Kubelets
from carina_tasks.emulator.controllers.node_life import NodeLife
from carina_tasks.emulator.controllers.protection import Protection
from carina_tasks.emulator.controllers.provisioner import CreateLocal, Provisioner, RemoveLocal
from carina_tasks.emulator.controllers.scheduler import Scheduler
from carina_tasks.emulator.controllers.view import View
from carina_tasks.emulator.controllers.workloads import Workloads
from carina_tasks.kube.api import Api

TICK = 0.25
"""Seconds between two rounds when nothing changes."""
BREATH = 0.02
"""Seconds in which changes are gathered before a round, so that a burst is one round."""


class Part(Protocol):
    """One controller."""

    def step(self, now: float) -> None:
        """Bring the cluster a step nearer to what it should be; `now` is a steady clock."""
        ...


class Controllers:
    """All of them in one thread.

    `kubelets` switches nodes on and off, `binder` knows when it resyncs.
    """

    def __init__(self, api: Api, create: CreateLocal, remove: RemoveLocal) -> None:
        self._view = View(api)
        self.kubelets = Kubelets(self._view)
        self.binder = Binder(self._view)
        # Heartbeats before the judge of silence.
        self._parts: tuple[Part, ...] = (
            self.kubelets,
            NodeLife(self._view),
            self.binder,
            Protection(self._view),
            Provisioner(self._view, self.kubelets.alive, create, remove),
            Workloads(self._view),
            Scheduler(self._view),
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="controllers")

    @property
    def errors(self) -> list[str]:
        """What went wrong lately, in words."""
        return list(self._view.errors)

    def start(self) -> None:
        """Begin, once the first lists are there."""
        self._view.start()
        self._thread.start()

    def stop(self) -> None:
        """End after the round that runs."""
        self._stopped.set()
        self._view.changed.set()
        self._view.stop()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._view.changed.wait(TICK)
            time.sleep(BREATH)
            self._view.changed.clear()
            for part in self._parts:
                try:
                    part.step(time.monotonic())
                except Exception:
                    # A fault in the stand-in must be seen and must not stop the cluster.
                    self._view.errors.append(traceback.format_exc())
