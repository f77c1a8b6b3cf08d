"""The demo from beginning to end: stage, three acts, summary."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType

from carina_tasks.demo.acts import deleted, orphans, silent
from carina_tasks.demo.acts.scene import Scene
from carina_tasks.demo.show import Screen
from carina_tasks.demo.stage import Stage
from carina_tasks.demo.world import World


def run(*, keep: bool, changed: Mapping[str, str]) -> int:
    """Play all acts; with `keep` wait for Ctrl-C afterwards.

    Return the exit code: 1 if any promise failed.

    `changed` are settings other than the demo's own. Raises BadSetting.
    """
    # SIGINT too: a shell starts background jobs with it ignored, and then Python leaves it so.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_interrupt)
    screen = Screen()
    stage = Stage(changed)
    try:
        with stage:
            try:
                kept = _play(Scene(stage, _opened(stage, screen), screen))
            except Exception as exc:
                # Before the stage is taken down: what was promised so far, why it ended, and the
                # logs.
                screen.summary()
                return _failed(stage, screen, exc)
            if keep:
                _stay(stage, screen)
    except KeyboardInterrupt:
        screen.say("\nended; nothing is left behind")
        return 130
    except Exception as exc:
        return _failed(stage, screen, exc)
    return 0 if kept else 1


def _failed(stage: Stage, screen: Screen, exc: Exception) -> int:
    """Print why the demo ended, and the logs.

    The rest is in the folder.
    """
    stage.keep_folder = True
    stage.folder.joinpath("demo.log").write_text("".join(traceback.format_exception(exc)))
    _show_logs(stage, screen)
    screen.say(f"\nthe demo could not continue: {exc}")
    return 1


def _opened(stage: Stage, screen: Screen) -> World:
    screen.title(
        "The embedded default: broker, Kubernetes API emulator, two nodes with simulated LVM, and "
        "carina-tasks"
    )
    world = World(stage)
    begun = time.monotonic()
    for node in (deleted.KEPT_NODE, deleted.LOST_NODE):
        stage.add_node(node)
    started = stage.start_processes()
    screen.progress(f"started {', '.join(child.name for child in stage.children.running)}")
    shown = ", ".join(
        f"{key.removeprefix('CARINA_TASKS_').lower()} {value}"
        for key, value in stage.settings.items()
    )
    screen.progress(f"times shortened for the demo (seconds): {shown}")
    deleted.prepare(Scene(stage, world, screen))
    stage.wait_ready(*started)
    screen.progress(f"all processes are at work; Flower: {stage.flower_url}")
    screen.act("set-up", time.monotonic() - begun)
    return world


def _play(scene: Scene) -> bool:
    screen, stage = scene.screen, scene.stage
    acts: tuple[tuple[str, str, Callable[[Scene], None]], ...] = (
        ("act one", f"Act one: kubectl delete node {deleted.LOST_NODE}", deleted.play),
        ("act two", f"Act two: node {silent.SILENT_NODE} is NotReady", silent.play),
        ("act three", "Act three: orphans", orphans.play),
    )
    for name, title, play in acts:
        screen.title(title)
        if play is silent.play:
            # Its machine starts while the heading is read.
            stage.add_node(silent.THIRD_NODE)
        begun = time.monotonic()
        play(scene)
        screen.act(name, time.monotonic() - begun)
    kept = screen.summary()
    if not kept:
        stage.keep_folder = True
        _show_logs(stage, screen)
    return kept


def _show_logs(stage: Stage, screen: Screen) -> None:
    for name, text in stage.logs().items():
        screen.say(f"\n--- the end of {name}\n{text}")
    screen.say(f"\nall logs: {stage.folder}")


def _stay(stage: Stage, screen: Screen) -> None:
    binaries = Path(sys.executable).parent
    exports = "\n".join(f"  export {key}={value}" for key, value in stage.env.items())
    screen.title("It keeps running until Ctrl-C")
    screen.say(
        f"  Flower      {stage.flower_url}\n  kubeconfig  {stage.kubeconfig}\n  logs        "
        f"{stage.folder}\n"
    )
    screen.say(f"In another terminal:\n{exports}\n  export PATH={binaries}:$PATH\n")
    screen.say(
        "  kubectl get lv,pv,pvc,pods,nodes\n"
        f"  kubectl delete node {silent.THIRD_NODE}\n"
        "  kubectl get events --sort-by=.eventTime\n"
        "  celery -A carina_tasks inspect ping\n"
        "  celery -A carina_tasks call carina.sweep.local_volumes\n"
        "  celery -A carina_tasks result <the id that was printed>\n"
        '  celery -A carina_tasks shell        # inventory.ask("10.20.9.153").volumes'
    )
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()
    screen.say("\nending every process")


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
