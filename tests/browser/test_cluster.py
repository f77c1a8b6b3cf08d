"""The pages of Flower that show the cluster: on a desktop's screen and on a phone's."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page, ViewportSize

from carina_tasks.kube import paths
from carina_tasks.model import published
from carina_tasks.model.progress import phase_text, timestamp
from carina_tasks.model.published import Published, PublishedCopies, PublishedRebuild
from carina_tasks.store.latest_results import LatestResults
from tests.browser.browser import badge, find, queue_names
from tests.browser.conftest import Flowers
from tests.integration.embedded import ONE, THREE, TWO, Embedded

DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def cells(page: Page, section: str) -> list[list[str]]:
    """Return the rows of a table of the page of the cluster."""
    return [
        [" ".join(cell.split()) for cell in row.locator("td").all_inner_texts()]
        for row in page.locator(f"#{section} tbody tr").all()
    ]


def fits(page: Page) -> bool:
    """Return whether nothing has to be pushed sideways to be read."""
    return bool(
        page.evaluate(
            "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth "
            "&& [...document.querySelectorAll('.tasks-table td, .carina-table td, .detail-code')]"
            ".every(one => one.scrollWidth <= one.clientWidth + 1)"
        )
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_cluster_comes_first(
    embedded: Embedded, flowers: Flowers, page: Page, size: ViewportSize
) -> None:
    """The first page shows the verdict, whose volumes need attention and why, each node and what
    its loss would do; and it fits the screen.
    """
    embedded.reset()
    embedded.app("db", THREE, TWO)
    for node in (ONE, TWO):
        embedded.api.merge(paths.node(node), {"spec": {"unschedulable": True}})
    embedded.call("carina.failover.readiness")
    embedded.world.delete_node(THREE)
    embedded.call("carina.failover.publish_status")
    page.set_viewport_size(size)
    page.goto(flowers.open)
    assert page.url == f"{flowers.open}/cluster"
    assert page.inner_text("#verdict .badge") == "DEGRADED"
    assert "kubectl uncordon" in page.inner_text("#verdict p")
    assert page.inner_text("#nodes-ready") == "2 of 3"
    stuck = {row[0]: row for row in cells(page, "attention")}["default/data-db-0"]
    assert [stuck[0], stuck[1], stuck[2], stuck[3]] == [
        "default/data-db-0",
        "db-0",
        THREE,
        "no-fit",
    ]
    assert f"kubectl uncordon {ONE} {TWO}" in stuck[5]
    nodes = {row[0]: row for row in cells(page, "nodes")}
    assert nodes[THREE][1] == "deleted"
    assert nodes[ONE][6] == "cordoned"
    assert fits(page)
    page.goto(f"{flowers.open}/broker")
    assert queue_names(page) == ["control", f"node.{ONE}", f"node.{TWO}"]
    assert fits(page)
    # As a task the rebuild ended well; its volume has no place, and so it is not green.
    row = find(page, flowers.open, "state:NO-FIT", f"rebuild node {THREE} → 0 of 1 volume")
    assert "default/data-db-0: 0/2 nodes fit" in row["RESULT"]
    assert "text-bg-warning" in badge(page, f"rebuild node {THREE}")
    assert fits(page)
    page.locator("#tasks-table tbody a[href*='/task/']").first.click()
    page.wait_for_selector("#task-page")
    assert fits(page)


@pytest.fixture
def results(embedded: Embedded, flowers: Flowers) -> Iterator[LatestResults]:
    """Return the place of the published status, while nobody else writes it."""
    embedded.reset()
    embedded.end("beat")
    embedded.call("carina.failover.publish_status")
    yield LatestResults(embedded.stage.app)
    embedded.reset()


def changed(results: LatestResults, **fields: Any) -> None:
    """Publish the status that is there with other fields."""
    found = results.last(published.RESULT, Published)
    assert found is not None
    results.keep(published.RESULT, msgspec.structs.replace(found, **fields), 600)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_rebuilds_in_progress_and_old_copies(
    results: LatestResults, flowers: Flowers, page: Page, size: ViewportSize
) -> None:
    """Claim, from where to where, the step in the words of the commands; what is left out is
    counted, markup is text, and the page renews itself.
    """
    page.set_viewport_size(size)
    page.goto(f"{flowers.open}/cluster")
    assert page.inner_text("#rebuilds .carina-none") == "No volume is being rebuilt."
    started = timestamp(time.time() - 90)
    rebuild = PublishedRebuild(
        "shop/data-0", "db-0", ONE, TWO, started, phase_text(1), "<b>node was deleted</b>"
    )
    changed(
        results,
        written=timestamp(time.time()),
        rebuilds=(rebuild,),
        rebuilds_total=60,
        old_copies=(PublishedCopies(ONE, 7, "2027-01-01T00:00:00Z"),),
        old_copies_total=7,
    )
    page.wait_for_selector("#rebuilds tbody tr", timeout=8000)
    (shown,) = cells(page, "rebuilds")
    assert shown[:4] == ["shop/data-0", "db-0", ONE, TWO]
    assert re.fullmatch(r"(9\d|1[01]\d)s", shown[4])
    assert shown[5:] == ["2/5 create the local volume", "<b>node was deleted</b>"]
    assert page.locator("#rebuilds progress").get_attribute("value") == "40"
    assert "and 59 more rebuilds" in page.inner_text("#rebuilds")
    (copies,) = cells(page, "old-copies")
    assert copies[:3] == [ONE, "7", "2027-01-01 00:00:00Z"]
    assert f"carina plan {ONE} --failback" in copies[3]
    assert fits(page)


def test_a_status_that_nobody_writes_is_said_to_be_stale(
    results: LatestResults, flowers: Flowers, page: Page
) -> None:
    """Control workers or beat are down: the page says since when, and what was true then."""
    changed(results, written="2026-01-01T00:00:00Z")
    page.goto(f"{flowers.open}/cluster")
    said = page.inner_text("#stale")
    assert said.startswith("STALE")
    assert "true at 2026-01-01 00:00:00Z" in said
    assert "text-bg-secondary" in (page.locator("#verdict .badge").get_attribute("class") or "")


@pytest.mark.parametrize("value", [None, b"{", b'{"written": 7}', b"\xff"])
def test_without_a_status_the_page_says_why(
    embedded: Embedded,
    results: LatestResults,
    flowers: Flowers,
    page: Page,
    value: bytes | None,
) -> None:
    """Right after an installation; what another client wrote there is no status, and no error."""
    key = f"carina-tasks.found.{published.RESULT}"
    embedded.stage.redis.delete(key)
    if value is not None:
        embedded.stage.redis.set(key, value)
    answer = page.goto(f"{flowers.open}/cluster")
    assert answer is not None
    assert answer.status == 200
    assert page.inner_text("#verdict .badge") == "UNKNOWN"
    assert "There is no published status" in page.inner_text("#verdict p")
