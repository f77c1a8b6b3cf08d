"""One embedded stack, Flower in three profiles beside each other, and one browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from carina_tasks.demo.children import free_port
from carina_tasks.demo.stage import flower_answers
from tests.browser.browser import launch
from tests.integration.embedded import Embedded

USER, PASSWORD = "operator", "s3cret:with-colon"


@dataclass(frozen=True)
class Flowers:
    """URLs of Flower as the demo has it, as a cluster has it, and as a cluster has it with the
    component `controls`.
    """

    open: str
    cluster: str
    controls: str


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    """Start the embedded stack once for all tests."""
    one = Embedded()
    yield one
    one.stop()


@pytest.fixture(scope="session")
def flowers(embedded: Embedded) -> Flowers:
    """Start Flower twice more, with a password."""
    urls = []
    for name, more in (("cluster", {}), ("controls", {"FLOWER_READ_ONLY": "false"})):
        more |= {
            "FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD},prometheus:other",
            "FLOWER_DB": str(embedded.stage.folder / name),
        }
        urls.append(start_flower(embedded, name, more))
    return Flowers(embedded.stage.flower_url, *urls)


def start_flower(embedded: Embedded, name: str, env: dict[str, str]) -> str:
    """Start a Flower of the name, and return its URL when it answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    child = embedded.stage.children.start(
        f"flower-{name}", embedded.stage.flower_command(port), **{**embedded.stage.env, **env}
    )
    embedded.processes[child.name] = child
    embedded.stage.children.wait(f"{child.name} answers", lambda: flower_answers(url), 30, [child])
    return url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium once."""
    with sync_playwright() as playwright:
        one = launch(playwright)
        yield one
        one.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page of the open Flower's browser context, without cookies or passwords."""
    context = browser.new_context(viewport={"width": 1500, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture
def known(browser: Browser) -> Iterator[Page]:
    """Open a page as a user who has the password."""
    context = browser.new_context(
        viewport={"width": 1500, "height": 900},
        http_credentials={"username": USER, "password": PASSWORD},
    )
    yield context.new_page()
    context.close()
