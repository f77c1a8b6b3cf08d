"""A real Prometheus on this machine, for the queries of the dashboard and the alerts."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from carina_tasks.demo.children import Child, Children, free_port


class Prometheus:
    """Scrapes `urls` each second and knows the rules of a file. Its process belongs to
    `children`.
    """

    def __init__(self, children: Children, folder: Path, urls: Iterable[str], rules: Path) -> None:
        self._port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {
                    "job_name": "carina-tasks",
                    "static_configs": [{"targets": [urlsplit(url).netloc for url in urls]}],
                }
            ],
        }
        path = folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        self.process: Child = children.start(
            "prometheus",
            [
                "prometheus",
                f"--config.file={path}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
        )
        children.wait("Prometheus is ready", self._ready, 30, [self.process])

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._port}/-/ready", timeout=2
            ) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its API. Raises AssertionError with Prometheus' own words
        when it refuses.
        """
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{query}: {exc.read().decode()}") from exc

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        """Return the values of an expression now, by the values of their labels, which are in the
        order of their names.
        """
        result = self.get("query", query=expression)["result"]
        return {
            tuple(
                value for name, value in sorted(one["metric"].items()) if name != "__name__"
            ): float(one["value"][1])
            for one in result
        }
