"""The alerts and the dashboard before a real Prometheus, with the metrics of a real failover on the
embedded default.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests import monitoring
from tests.integration.embedded import NODES, THREE, TWO, Embedded
from tests.integration.monitoring_story import story
from tests.lab import parts
from tests.lab.processes import wait_until
from tests.lab.prometheus import Prometheus

Values = dict[tuple[str, ...], float]


def above_zero(*labels: str) -> Callable[[Values], bool]:
    """Return a check: these labels' value is above 0."""
    return lambda found: found.get(labels, 0) > 0


PLAUSIBLE: dict[str, Callable[[Values], bool]] = {
    "Paused": lambda found: found == {(): 0},
    "Latched": lambda found: found == {(): 0},
    "Volumes of deleted nodes": lambda found: found == {(): 0},
    "Rebuilds under way": lambda found: found == {(): 0},
    "Volumes missing": lambda found: found == {(): 1},
    "Nodes that may not be lost": lambda found: found == {(): 1},
    "Silent node workers": lambda found: found == {(): 0},
    "Orphans that wait": lambda found: found == {(): 0},
    "LogicVolumes by state": lambda found: found["success",] == 4 and found["lost",] == 0,
    "Failovers": above_zero("rebuild", "done"),
    "Volumes": above_zero("rebuilt"),
    "What was done, and refused": lambda found: (
        found["rebuild",] > 0 and found["trash-local-volume",] > 0
    ),
    "Nodes": lambda found: found.keys() == {(TWO,), (THREE,)},
    "Volumes unschedulable": lambda found: found == {(TWO,): 1, (THREE,): 0},
    "Hints of the node watch": above_zero("deleted"),
    "Age of the last good sweep": lambda found: (
        len(found) == 2 and all(0 <= age < 120 for age in found.values())
    ),
    "Sweep time": above_zero("local_volumes"),
    "Orphans": lambda found: found["marked",] > 0 and found["trashed",] > 0,
    "Trash": above_zero(THREE),
    "Volumes in the trash": above_zero(THREE),
    "Messages that wait": lambda found: (
        found.keys() == {("control",), (f"node.{TWO}",), (f"node.{THREE}",)}
    ),
    "Schedule: last sent": lambda found: (
        {key[0] for key in found} >= {"resume", "readiness", "sweep-local-volumes"}
    ),
    "API requests a second": above_zero("200", "GET"),
    "lvm2 runs a second": above_zero("ok"),
    "Since a control worker last read": lambda found: (
        found.keys() == {("api",), ("broker",)} and max(found.values()) < 40
    ),
    "Processes": lambda found: sum(found.values()) == 5,
    "Claims affected": lambda found: (
        found.keys() == {("default/gone", TWO, "missing"), ("default/big", TWO, "unplaced")}
    ),
    "Made new and empty": lambda found: (
        {key[0] for key in found} == {"default/data-0", "default/data-1"}
        and max(found.values()) < 600
    ),
    "Broker's memory": lambda found: 0 < found[()] < 1 << 30,
}
"""What a panel must say after the story below; of the others, that they say something."""
QUIET = {
    "Enrolments in 5 minutes",
    "Since a node was cut off",
    "Strangers disconnected in 5 minutes",
    "Since an answer was rejected",
    "Until old copies may be removed",
    "Until maintenance should be over",
}
"""Panels that the story below does not fill. The first three need an enrolment service, which the
embedded default has not (tests/system/test_enrolment.py looks at its metrics); of the others,
tests/unit/test_metrics.py.
"""


@pytest.fixture(scope="module")
def told(
    whole_embedded: Embedded, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Have a failover, an orphan in the trash, a missing volume and a volume unschedulable, and
    all of it scraped.
    """
    parts.require("prometheus")
    embedded = whole_embedded
    embedded.reset()
    folder = tmp_path_factory.mktemp("prometheus")
    urls = embedded.stage.metrics_urls.values()
    prometheus = Prometheus(embedded.stage.children, folder, urls, monitoring.FOLDER / "rules.yml")
    try:
        story(embedded, prometheus)
        yield prometheus
    finally:
        embedded.stage.children.kill(prometheus.process)


@pytest.mark.parametrize("title", monitoring.panels())
def test_a_panel_says_what_its_title_says(told: Prometheus, title: str) -> None:
    """Every query of the dashboard returns values, and those that the story makes."""
    for target in monitoring.panels()[title]["targets"]:
        found = told.query(monitoring.query_of(target["expr"]))
        print(f"{title}: {found}")
        if (title, target["refId"]) == ("Broker's memory", "B"):
            assert not found, "the embedded broker has no limit"
            continue
        if title in QUIET:
            assert not any(found.values())
            continue
        assert any(math.isfinite(value) for value in found.values()), target["expr"]
        assert all(value >= 0 for value in found.values() if not math.isnan(value)), found
        if title in PLAUSIBLE and target["refId"] == "A":
            assert PLAUSIBLE[title](found), found


def test_every_panel_that_is_judged_is_there() -> None:
    """The table above names no panel that was renamed."""
    assert PLAUSIBLE.keys() <= monitoring.panels().keys()


def test_prometheus_evaluates_every_alert(told: Prometheus) -> None:
    """All rules are healthy, and just those that the story makes are not quiet."""
    rules = {rule["name"]: rule for group in told.get("rules")["groups"] for rule in group["rules"]}
    assert rules.keys() == monitoring.alerts().keys()
    assert {rule["health"] for rule in rules.values()} == {"ok"}
    loud = {name for name, rule in monitoring.alerts().items() if told.query(rule["expr"])}
    assert loud == {
        "CarinaTasksVolumeMissing",
        "CarinaTasksNodeNotReadyForLoss",
        "CarinaTasksVolumeRebuiltEmpty",
    }


def test_the_text_of_an_alert_names_whose_data_it_is(told: Prometheus) -> None:
    """As Prometheus itself renders it, from the metrics of this story."""

    def texts_now() -> dict[str, str]:
        alerts = told.get("alerts")["alerts"]
        return {one["labels"]["alertname"]: one["annotations"]["description"] for one in alerts}

    wanted = {"CarinaTasksVolumeMissing", "CarinaTasksNodeNotReadyForLoss"}
    # A rule is evaluated after its metric was scraped.
    wait_until("Prometheus has the alerts", lambda: wanted <= texts_now().keys(), 30)
    texts = texts_now()
    print(texts)
    assert "Whose: default/gone. " in texts["CarinaTasksVolumeMissing"]
    assert f"Type: kubectl carina plan {TWO} " in texts["CarinaTasksNodeNotReadyForLoss"]
    assert "Whose: default/big. " in texts["CarinaTasksNodeNotReadyForLoss"]


def test_series_are_few(told: Prometheus) -> None:
    """The number of series of each process, printed; none has the name of a volume."""
    for process, count in told.query("count by (instance) ({__name__=~'carina_tasks_.+'})").items():
        print(f"series of {process[0]}: {count:.0f}")
    names = {
        value
        for one in told.get("series", **{"match[]": "{__name__=~'carina_tasks_.+'}"})
        for value in one.values()
    }
    assert not [name for name in names if "pvc-" in name or name.startswith("volume-")]
    assert {TWO, THREE} <= names
    assert set(NODES) >= {name for name in names if name.startswith("10.20.")}


@pytest.mark.parametrize(
    "command", [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")], ids=" ".join
)
def test_promtool_takes_the_rules(command: tuple[str, ...]) -> None:
    """The rules are valid, and every alert fires and keeps quiet as its unit tests say."""
    parts.require("prometheus")
    done = subprocess.run(
        ["promtool", *command], cwd=monitoring.FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["prometheus.yml", "compose.yml"])
def test_promtool_takes_the_examples(name: str, tmp_path: Path) -> None:
    """The examples of a scrape configuration are valid; without the discovery of Kubernetes, which
    Debian's build lacks.
    """
    parts.require("prometheus")
    config = yaml.safe_load((monitoring.FOLDER / name).read_text())
    config["rule_files"] = [str(monitoring.FOLDER / rules) for rules in config["rule_files"]]
    for job in config["scrape_configs"]:
        found = job.pop("kubernetes_sd_configs", None)
        assert found is None or {one["role"] for one in found} == {"pod"}
    path = tmp_path / name
    path.write_text(yaml.safe_dump(config))
    done = subprocess.run(
        ["promtool", "check", "config", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
