"""Flower as the on-call engineer meets it, in Chromium, after a real failover on the embedded
stack.
"""

from __future__ import annotations

import contextlib
import re
import signal

import pytest
from playwright.sync_api import Browser, Error, Page

from carina_tasks.demo.stage import Stage
from carina_tasks.demo.world import World
from tests.browser.browser import badge, details, find, queue_names, rows
from tests.browser.conftest import PASSWORD, USER, Flowers, start_flower
from tests.integration.embedded import ONE, THREE, TWO, Embedded

PAGES = (
    "/",
    "/cluster",
    "/workers",
    f"/worker/{ONE}@{ONE}",
    "/tasks",
    "/task/x",
    "/broker",
    "/metrics",
    "/api/tasks",
    "/api/workers",
)


@pytest.fixture(scope="module")
def volumes(embedded: Embedded, flowers: Flowers) -> list[str]:
    """Lose a node with five volumes while all three Flowers watch; return the names of its
    volumes.
    """
    embedded.reset()
    names = [
        *embedded.app("mysql", THREE, THREE),
        *(embedded.volume(f"data-{i}", THREE) for i in range(3)),
    ]
    embedded.world.delete_node(THREE)
    embedded.wait_rebuilt(*names, away_from=THREE)
    with contextlib.suppress(Exception):
        embedded.call("carina.failover.rebuild_node", "../etc")
    embedded.call("carina.failover.migrate_node", TWO)
    embedded.sweep()
    return names


def test_a_row_says_what_was_done(
    embedded: Embedded, flowers: Flowers, volumes: list[str], page: Page
) -> None:
    """The rebuild stands in the list as a sentence, with where its volumes are; no cell shows a
    dict.
    """
    row = find(page, flowers.open, "", f"rebuild node {THREE} → 5 volumes")
    assert row["STATE"] == "SUCCESS"
    assert re.match(rf"5 rebuilt on ({ONE}|{TWO})", row["RESULT"]), row
    assert not [cell for one in rows(page) for cell in one.values() if "{" in cell]


@pytest.mark.parametrize(
    ("search", "row"),
    [
        (THREE, f"rebuild node {THREE}"),
        ("was deleted", f"rebuild node {THREE}"),
        ("state:FAILURE", "rebuild node ../etc"),
        (f"kwargs:node={ONE}", f"inventory of node {ONE}"),
        ("name:carina.sweep.local_volumes", "sweep local volumes"),
        ("state:REFUSED", "migrate node"),
        ("state:ROUTINE", "inventory of node"),
    ],
)
def test_the_search_finds(
    flowers: Flowers, volumes: list[str], page: Page, search: str, row: str
) -> None:
    """A node, a reason, a state, a node and nothing but it, a task's name: typed into the field,
    they find their rows.
    """
    find(page, flowers.open, search, row)
    if search.startswith("kwargs:"):
        assert all(ONE in one["WHAT"] for one in rows(page))


def test_the_search_finds_a_volume(flowers: Flowers, volumes: list[str], page: Page) -> None:
    """Each volume's name finds the failover, and the node's task that made its local volume."""
    for name in volumes:
        find(page, flowers.open, name, "rebuild node")
        assert any(row["WHAT"].startswith("create on node") for row in rows(page))


def test_a_click_shows_each_volume(flowers: Flowers, volumes: list[str], page: Page) -> None:
    """A task's own page has a line for each volume: whose it is, what became of it, from where to
    where, and its name; the reason that all share stands above.
    """
    find(page, flowers.open, volumes[0], f"rebuild node {THREE} → 5 volumes")
    page.locator("#tasks-table tbody tr", has_text="→ 5 volumes").locator(
        "a[href*='/task/']"
    ).click()
    page.wait_for_selector("#task-page")
    said = details(page)
    assert said["Name"] == "carina.failover.rebuild_node"
    lines = said["Result"].splitlines()[1:]
    assert sorted(line.split()[-1] for line in lines) == sorted(f"({name})" for name in volumes)
    way = rf"^default/.*rebuilt  {re.escape(THREE)} → ({ONE}|{TWO})  \("
    assert all(re.search(way, line) for line in lines), lines


def test_a_failed_task_says_why(flowers: Flowers, volumes: list[str], page: Page) -> None:
    """The button `Failed` leaves the failures, and the error stands in the row, not only on the
    task's page.
    """
    find(page, flowers.open, "", "rebuild node ../etc")
    page.click("text=Failed")
    page.wait_for_timeout(500)
    (row,) = rows(page)
    assert row["STATE"] == "FAILURE"
    assert row["RESULT"].startswith("BadInput: '../etc' is not a node name")
    page.locator("#tasks-table tbody a[href*='/task/']").click()
    page.wait_for_selector("#task-page")
    assert "is not a node name" in details(page)["Result"]


def test_workers_are_seen(flowers: Flowers, volumes: list[str], known: Page) -> None:
    """The workers of control and nodes stand in the list, and one's page reports which queue it
    takes
    from.
    """
    known.goto(f"{flowers.cluster}/workers")
    known.wait_for_selector("#workers-table tbody tr")
    known.wait_for_function("document.querySelectorAll('#workers-table tbody tr').length >= 3")
    text = known.text_content("#workers-table") or ""
    assert all(name in text for name in (f"{ONE}@{ONE}", f"{TWO}@{TWO}", "control@"))
    known.goto(f"{flowers.cluster}/worker/{ONE}@{ONE}")
    known.wait_for_selector("#workername")
    known.click("#worker-tab-queues")
    assert f"node.{ONE}" in known.inner_text("#tab-queues")


def test_progress_is_seen_while_it_is_made(
    embedded: Embedded, flowers: Flowers, volumes: list[str], page: Page
) -> None:
    """A failover that waits for its nodes is PROGRESS, and the row reports what it is at."""
    embedded.reset()
    name = embedded.volume("slow", TWO)
    silent = [embedded.stage.worker(node) for node in (ONE, THREE)]
    for worker in silent:
        worker.popen.send_signal(signal.SIGSTOP)
    try:
        embedded.world.delete_node(TWO)
        row = find(page, flowers.open, "state:PROGRESS", f"rebuild node {TWO}")
        assert "making sure that the node is gone" in row["RESULT"]
    finally:
        for worker in silent:
            worker.popen.send_signal(signal.SIGCONT)
    embedded.wait_rebuilt(name, away_from=TWO)
    find(page, flowers.open, TWO, f"rebuild node {TWO} → 1 volume")


# --- what is no success, and what is no news ---


def test_a_refusal_is_not_green(flowers: Flowers, volumes: list[str], page: Page) -> None:
    """A guard's no stands out in the list, under its button, and on its own page."""
    find(page, flowers.open, "", f"migrate node {TWO} → refused")
    assert "text-bg-warning" in badge(page, f"migrate node {TWO}")
    assert "text-bg-success" in badge(page, f"rebuild node {THREE} → 5 volumes")
    page.click("[data-task-state=REFUSED]")
    page.wait_for_timeout(600)
    assert {row["STATE"] for row in rows(page)} == {"REFUSED"}
    pressed = page.locator(".task-state-filter.active").all_inner_texts()
    assert pressed == ["Refused"]
    page.locator("#tasks-table tbody a[href*='/task/']").first.click()
    page.wait_for_selector("#task-page .badge")
    assert "text-bg-warning" in (page.locator("#task-page .badge").get_attribute("class") or "")


def test_routine_is_hidden_until_it_is_looked_for(
    flowers: Flowers, volumes: list[str], page: Page
) -> None:
    """Inventories and idle resumes would bury what was done; their button brings them."""
    find(page, flowers.open, "", f"rebuild node {THREE}")
    assert not [row for row in rows(page) if row["STATE"] == "ROUTINE"]
    shown = {row["STATE"] for row in rows(page) if row["WHAT"].startswith("inventory of node")}
    assert shown <= {"UNANSWERED"}
    page.click("[data-task-state=ROUTINE]")
    page.wait_for_timeout(600)
    assert {row["STATE"] for row in rows(page)} == {"ROUTINE"}


# --- doors ---


def test_strangers_see_nothing(
    flowers: Flowers, volumes: list[str], page: Page, browser: Browser
) -> None:
    """Without a password and with a wrong one the browser shows no page: each answers 401, /metrics
    and the API too.
    """
    wrong = browser.new_context(http_credentials={"username": USER, "password": PASSWORD + "x"})
    for visitor in (page, wrong.new_page()):
        for path in PAGES:
            # Chromium shows an empty page or, once it holds the password for wrong, an error of its
            # own.
            with contextlib.suppress(Error):
                shown = visitor.goto(flowers.cluster + path)
                assert shown is not None
                assert shown.status == 401, path
            answer = visitor.request.get(flowers.cluster + path)
            assert answer.status == 401, path
            assert answer.headers["www-authenticate"] == 'Basic realm="flower"', path
            assert answer.text() in ("", "Access denied"), path
    wrong.close()


def test_the_password_opens(flowers: Flowers, volumes: list[str], known: Page) -> None:
    """With it the same pages are there; it stands on none of them."""
    for path in ("/", f"/worker/{ONE}@{ONE}", "/tasks", "/broker", "/api/workers?refresh=1"):
        answer = known.goto(flowers.cluster + path)
        assert answer is not None
        assert answer.status == 200, path
        assert PASSWORD not in known.content()
    find(known, flowers.cluster, THREE, f"rebuild node {THREE} → 5 volumes")


def test_prometheus_has_a_password_of_its_own(
    flowers: Flowers, volumes: list[str], browser: Browser
) -> None:
    """The second pair reads /metrics, where the failover is counted."""
    context = browser.new_context(http_credentials={"username": "prometheus", "password": "other"})
    answer = context.new_page().goto(f"{flowers.cluster}/metrics")
    assert answer is not None
    assert answer.status == 200
    counted = re.search(
        r'flower_events_total\{task="carina.failover.rebuild_node",type="task-succeeded".*} (\S+)',
        answer.text(),
    )
    assert counted
    assert float(counted[1]) >= 1
    context.close()


POST = """([path, body]) => fetch(path, {method: 'POST', body: new URLSearchParams(body)}).then(
    async answer => [answer.status, await answer.text()])"""


@pytest.mark.parametrize(
    "path",
    [
        f"/api/worker/shutdown/{ONE}@{ONE}",
        f"/api/worker/pool/restart/{ONE}@{ONE}",
        f"/api/worker/queue/cancel-consumer/{ONE}@{ONE}",
        "/api/task/revoke/{task}",
        "/api/task/timeout/carina.failover.rebuild_node",
        "/api/task/rate-limit/carina.failover.rebuild_node",
        "/api/task/async-apply/carina.sweep.local_volumes",
        "/api/task/send-task/carina.sweep.local_volumes",
    ],
)
def test_to_look_is_all(
    embedded: Embedded, flowers: Flowers, volumes: list[str], known: Page, path: str
) -> None:
    """In a cluster Flower stops no worker, revokes no task and sends none, not even for who has the
    password.
    """
    known.goto(f"{flowers.cluster}/workers")
    body = {"workername": f"{ONE}@{ONE}", "terminate": "true", "queue": f"node.{ONE}"}
    status, text = known.evaluate(POST, [path.replace("{task}", "some-task"), body])
    assert (status, text) == (403, "Read only mode is enabled")
    assert embedded.stage.worker(ONE).alive


def test_buttons_are_where_they_work(flowers: Flowers, volumes: list[str], known: Page) -> None:
    """Read-only has no button to stop a worker; with `controls` there is one, and a revoke is
    taken.
    """
    for url, buttons in ((flowers.cluster, 0), (flowers.controls, 1)):
        known.goto(f"{url}/worker/{ONE}@{ONE}")
        known.wait_for_selector("#workername")
        assert known.locator("#worker-shutdown").count() == buttons
    status, _ = known.evaluate(POST, ["/api/task/revoke/some-task", {"terminate": "false"}])
    assert status == 200


def test_what_was_seen_outlives_a_restart(
    embedded: Embedded, flowers: Flowers, volumes: list[str], known: Page
) -> None:
    """A Flower that is ended and started again on its file still tells of the failover."""
    env = {
        "FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD}",
        "FLOWER_DB": str(embedded.stage.folder / "cluster"),
    }
    find(known, flowers.cluster, THREE, f"rebuild node {THREE} → 5 volumes")
    ended = embedded.processes["flower-cluster"].popen
    ended.terminate()
    ended.wait(15)
    again = start_flower(embedded, "again", env)
    find(known, again, volumes[0], f"rebuild node {THREE} → 5 volumes")


def test_sealed_nodes_are_told_of_by_who_asked(page: Page) -> None:
    """In the sealed profile no node sends events; its tasks are ANSWERED or UNANSWERED, and do not
    pend forever.
    """
    with Stage({"node_profile": "sealed"}) as stage:
        World(stage).prepare()
        stage.add_node(ONE)
        stage.wait_ready(*stage.start_processes("control", "flower"))
        World(stage).register(ONE)
        stage.app.send_task("carina.sweep.local_volumes", queue="control").get(timeout=30)
        row = find(page, stage.flower_url, "carina.node.inventory", f"inventory of node {ONE}")
        assert row["STATE"] == "ROUTINE"
        assert "2 groups" in row["RESULT"]
        page.goto(f"{stage.flower_url}/workers")
        page.wait_for_selector("#workers-table tbody tr a")
        text = page.text_content("#workers-table") or ""
        assert "control@" in text
        assert ONE not in text
        # The list says where the node is, and there it is, with its worker and its queue.
        stage.app.send_task("carina.failover.publish_status", queue="control").get(timeout=30)
        page.click("text=A node worker of the profile >> a")
        page.wait_for_selector(f"#nodes tr:has-text('{ONE}') .badge:has-text('alive')")
        page.goto(f"{stage.flower_url}/broker")
        assert queue_names(page) == ["control", f"node.{ONE}"]
