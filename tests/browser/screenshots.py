"""``make screenshots``: the pictures of docs/flower.md, taken again from a real failover on the
embedded stack.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

from playwright.sync_api import FloatRect, Page, sync_playwright

from carina_tasks.kube import paths as kube_paths
from tests.browser.browser import launch, open_tasks, rows
from tests.integration.embedded import ONE, THREE, TWO, Embedded
from tests.lab import parts, paths

IMAGES = paths.REPOSITORY / "docs" / "images"
WIDTH, HEIGHT = 1440, 760
PHONE = 390


def main() -> int:
    """Take them all; name each file that was written."""
    if lacking := parts.missing("chromium"):
        sys.exit("; ".join(lacking))
    IMAGES.mkdir(exist_ok=True)
    # Slow enough to be seen at work.
    embedded = Embedded({"confirm_absence": "3"})
    try:
        embedded.reset()
        with sync_playwright() as playwright:
            browser = launch(playwright)
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            _take(embedded, page, embedded.stage.flower_url)
            browser.close()
    finally:
        embedded.stop()
    return 0


def _take(embedded: Embedded, page: Page, url: str) -> None:
    volumes = [
        *embedded.app("mysql", THREE, THREE, TWO)[:2],
        *(embedded.volume(f"logs-{i}", THREE) for i in range(3)),
    ]
    with contextlib.suppress(Exception):
        embedded.call("carina.failover.migrate_node", "10.20.9.154;reboot")
    embedded.call("carina.failover.migrate_node", TWO)
    embedded.nodes[ONE].create("volume-left-behind", 1 << 30)
    embedded.sweep()
    workers = [embedded.stage.worker(node) for node in (ONE, TWO)]
    embedded.world.delete_node(THREE)
    _until(page, url, f"rebuild node {THREE}", "PROGRESS")
    for worker in workers:
        worker.popen.send_signal(signal.SIGSTOP)
    _until(page, url, f"rebuild node {THREE}", "PROGRESS")
    _shoot(page, "progress", height=420)
    for worker in workers:
        worker.popen.send_signal(signal.SIGCONT)
    embedded.wait_rebuilt(*volumes, away_from=THREE)
    _until(page, url, f"rebuild node {THREE} → 5 volumes", "SUCCESS")
    _shoot(page, "tasks", height=700)
    page.locator("#tasks-table tbody tr", has_text="→ 5 volumes").locator(
        "a[href*='/task/']"
    ).click()
    page.wait_for_selector("#task-page")
    _shoot(page, "task")
    open_tasks(page, url, volumes[0])
    _shoot(page, "search", height=480)
    open_tasks(page, url, "state:FAILURE")
    _shoot(page, "failed", height=430)
    page.goto(f"{url}/workers")
    page.wait_for_selector("#workers-table tbody tr a")
    page.wait_for_timeout(1500)
    _shoot(page, "workers", height=700)
    _take_cluster(embedded, page, url)


def _take_cluster(embedded: Embedded, page: Page, url: str) -> None:
    """Lose a node while the others are cordoned: its volumes have no place."""
    embedded.reset()
    embedded.app("mysql", THREE, TWO)
    embedded.volume("logs-0", THREE)
    for node in (ONE, TWO):
        embedded.api.merge(kube_paths.node(node), {"spec": {"unschedulable": True}})
    embedded.world.delete_node(THREE)
    _until(page, url, f"rebuild node {THREE} → 0 of 2 volumes", "NO-FIT")
    embedded.sweep()
    for task in ("carina.sweep.logic_volumes", "carina.failover.readiness"):
        embedded.call(task)
    embedded.call("carina.failover.publish_status")
    page.goto(f"{url}/cluster")
    _shoot(page, "cluster", height=1320)
    page.goto(f"{url}/broker")
    _shoot(page, "broker", height=460)
    page.set_viewport_size({"width": PHONE, "height": 844})
    page.goto(f"{url}/cluster")
    _shoot(page, "cluster-phone", height=1180, width=PHONE)


def _until(page: Page, url: str, what: str, state: str) -> None:
    for _ in range(60):
        open_tasks(page, url)
        if any(
            row.get("WHAT", "").startswith(what) and row["STATE"] == state for row in rows(page)
        ):
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"no row {what} with {state}: {rows(page)}")


def _shoot(page: Page, name: str, height: int = HEIGHT, width: int = WIDTH) -> None:
    path = Path(IMAGES / f"flower-{name}.png")
    clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": height}
    page.screenshot(path=path, full_page=True, clip=clip)
    print(f"{path.relative_to(paths.REPOSITORY)}  {path.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    raise SystemExit(main())
