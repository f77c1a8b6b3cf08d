"""Debian's Chromium, driven by Playwright, and Flower's pages as people read them."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, Playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""It runs as root in a test machine, and loads nothing from outside."""


def launch(playwright: Playwright) -> Browser:
    """Start Chromium without a window."""
    return playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)


def open_tasks(page: Page, url: str, search: str = "") -> None:
    """Open the list of tasks, and search as the operator does: by typing into the field."""
    page.goto(f"{url}/tasks")
    page.wait_for_selector("#tasks-table tbody tr")
    # The table remembers what was searched for, and asks for nothing when the same is typed again.
    if page.input_value("#tasks-table_filter input") != search:
        with page.expect_response(lambda answer: "/tasks/datatable" in answer.url):
            page.fill("#tasks-table_filter input", search)
        page.wait_for_timeout(300)


def rows(page: Page) -> list[dict[str, str]]:
    """Return the rows that are shown, by the headings of their columns."""
    headings = [
        text.strip().upper() for text in page.locator(".dataTables_scrollHead th").all_inner_texts()
    ]
    return [
        dict(
            zip(
                headings,
                (" ".join(cell.split()) for cell in row.locator("td").all_inner_texts()),
                strict=False,
            )
        )
        for row in page.locator("#tasks-table tbody tr").all()
    ]


def details(page: Page) -> dict[str, str]:
    """Return a task's own page: name of a field to its text."""
    names = page.locator("dl.detail-list dt").all_inner_texts()
    return dict(
        zip(
            (n.strip() for n in names),
            (t.strip() for t in page.locator("dl.detail-list dd").all_inner_texts()),
            strict=True,
        )
    )


def find(page: Page, url: str, search: str, row: str) -> dict[str, str]:
    """Search until a row that begins with `row` is shown, and return it; Flower hears of events a
    moment later.
    """
    found: list[dict[str, str]] = []
    for _ in range(30):
        open_tasks(page, url, search)
        found = rows(page)
        for one in found:
            if one.get("WHAT", "").startswith(row):
                return one
        page.wait_for_timeout(300)
    raise AssertionError(f"no row begins with {row!r}: {found}")


def badge(page: Page, row: str) -> str:
    """Return the classes of the state's badge in the row that begins so."""
    return (
        page.locator("#tasks-table tbody tr", has_text=row)
        .locator(".badge")
        .first.get_attribute("class")
        or ""
    )


def queue_names(page: Page) -> list[str]:
    """Return the queues on the broker's page."""
    return page.locator("#queue-table tbody td:first-child").all_inner_texts()
