"""What all acts share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from carina_tasks.demo.show import Screen, server_table
from carina_tasks.demo.stage import Stage
from carina_tasks.demo.world import World
from carina_tasks.kube import paths

TASK_SECONDS = 60
SWEEP_EVERY = 600
"""Seconds between two of the schedule's sweeps, by the clock (``beat_schedule.py``)."""


def wait_out_the_schedule(needed: float, say: Callable[[str], None] = lambda _: None) -> None:
    """Let a sweep of the schedule pass that would come within `needed` seconds.

    It would take part in what is shown.
    """
    left = SWEEP_EVERY - time.time() % SWEEP_EVERY
    if left < needed:
        say(f"the schedule's own sweep is due in {left:.0f} s; that one first")
        time.sleep(left + 2)


@dataclass(frozen=True, slots=True)
class Scene:
    """Stage, world and screen."""

    stage: Stage
    world: World
    screen: Screen

    def show_volumes(self) -> list[list[str]]:
        """Print what ``kubectl get lv`` prints, and return its rows with the header."""
        self.screen.command("kubectl get lv")
        rows = server_table(self.stage.api.host + paths.LOGIC_VOLUMES)
        self.screen.table(rows)
        return rows

    def call(self, task: str, *args: Any) -> Any:
        """Call a control task as ``celery call`` does, and return its result.

        Raises what the task raised.
        """
        words = f" --args '{json.dumps(args)}'" if args else ""
        self.screen.command(f"celery -A carina_tasks call {task}{words}")
        result = self.stage.app.send_task(
            task, args=list(args), queue="control", expires=TASK_SECONDS
        )
        return result.get(timeout=TASK_SECONDS)

    def follow(self, what: str, done: Callable[[], bool]) -> float:
        """Print how the volumes change until `done`; return the seconds. Raises NotInTime."""
        shown: dict[str, str] = {}

        def look() -> bool:
            for name, logic_volume in self.world.volumes().items():
                busy = (
                    f"being rebuilt, {logic_volume.journal.source} -> {logic_volume.journal.target}"
                    if logic_volume.journal
                    else ""
                )
                text = busy or f"{logic_volume.status or 'new'} on {logic_volume.node}"
                if name in shown and shown[name] != text:
                    self.screen.progress(f"{name[:12]}…  {text}")
                shown[name] = text
            return done()

        begun = time.monotonic()
        self.world.wait(what, look)
        return time.monotonic() - begun
