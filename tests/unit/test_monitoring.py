"""Alerts, their pages and the dashboard belong together; what needs Prometheus itself is in
tests/integration.
"""

import re
from urllib.parse import urlsplit

import pytest

from carina_tasks import cli as carina_cli
from carina_tasks.observability import metrics
from tests import monitoring
from tools.reference import metrics_page

EXPORTED = {metrics_page.name_of(one) for one in metrics_page.counted()} | metrics.GAUGES.keys()
DOCTOR = "".join(
    (monitoring.ROOT / "carina_tasks" / part / "doctor.py").read_text()
    for part in ("decisions", "flows/report")
)
HEADINGS = ["What it means", "What to look at", "What to type", "When to leave it alone"]


def test_each_alert_has_a_page_and_each_page_an_alert():
    """And the table of docs/monitoring.md has each with its severity."""
    names = set(monitoring.alerts())
    assert {page.stem for page in monitoring.RUNBOOKS.glob("*.md")} == names
    table = (monitoring.ROOT / "docs" / "monitoring.md").read_text()
    rows = dict(re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (\w+) \|", table, re.M))
    assert rows == {name: rule["labels"]["severity"] for name, rule in monitoring.alerts().items()}


@pytest.mark.parametrize("name", monitoring.alerts())
def test_an_alert_says_what_a_person_needs(name):
    """A summary, a severity, and the path of its page, which has all four parts and at least one
    thing to type.
    """
    rule = monitoring.alerts()[name]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    path = rule["annotations"]["runbook_url"]
    assert not urlsplit(path).netloc
    text = (monitoring.ROOT / path).read_text()
    assert text.startswith(f"# {name}\n\nSeverity {rule['labels']['severity']}. Fires when ")
    assert re.findall(r"^## (.+)$", text, re.M) == HEADINGS
    assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.M))


COMMANDS = {*carina_cli.COMMANDS, "maintenance"}
OF_CLAIMS = {
    "CarinaTasksFailoverStuck",
    "CarinaTasksVolumesLost",
    "CarinaTasksVolumeMissing",
    "CarinaTasksVolumeUnreadable",
    "CarinaTasksNodeNotReadyForLoss",
    "CarinaTasksVolumeRebuiltEmpty",
}
"""Alerts about somebody's data."""


@pytest.mark.parametrize("name", monitoring.alerts())
def test_the_text_of_an_alert_is_enough_to_begin(name):
    """It has the cause, whose data it is, and a command that exists: there is no time to read a
    page first. What a check of `carina doctor` is called is its name.
    """
    rule = monitoring.alerts()[name]
    cause, _, todo = rule["annotations"]["description"].partition("Type: ")
    assert len(cause) > 60
    assert todo.startswith(("kubectl carina ", "kubectl get ", "kubectl apply ", "kubectl -n "))
    typed = re.findall(r"kubectl carina (\w+)", cause + todo)
    assert set(typed) <= COMMANDS
    for check in re.findall(r"`([\w' -]+)`", todo):
        assert f'"{check}"' in DOCTOR, check
    if re.search(r"by \([^)]*\bnode\)", rule["expr"]):
        assert "{{ $labels.node }}" in rule["annotations"]["summary"]
    assert ("Whose: " in cause) == (name in OF_CLAIMS)
    for one in monitoring.rule_tests():
        if one["alertname"] == name:
            for alert in one["exp_alerts"]:
                assert ("Whose: " in alert["exp_annotations"]["description"]) == (name in OF_CLAIMS)


@pytest.mark.parametrize("name", monitoring.alerts())
def test_an_alert_is_tested_both_ways(name):
    """rules_test.yml shows it fire, and shows it quiet both in a healthy cluster and just before it
    fires.
    """
    told = [one["exp_alerts"] for one in monitoring.rule_tests() if one["alertname"] == name]
    assert sum(bool(one) for one in told) >= 1
    assert sum(not one for one in told) >= 2


def test_rules_and_dashboard_name_metrics_that_exist():
    """Each metric of an alert or a panel is exported, and each metric that is exported is in one of
    them.
    """
    queries = [rule["expr"] for rule in monitoring.alerts().values()]
    queries += [
        target["expr"] for panel in monitoring.panels().values() for target in panel["targets"]
    ]
    named = {name for query in queries for name in monitoring.metric_names(query)}
    assert named <= EXPORTED
    assert EXPORTED - named == {"carina_tasks_readiness_timestamp_seconds"}


def test_the_dashboard_names_no_data_source():
    """It asks for one, and for cluster and namespace: every panel and query takes the variables."""
    board = monitoring.dashboard()
    assert [(v["name"], v["type"]) for v in board["templating"]["list"]] == [
        ("datasource", "datasource"),
        ("cluster", "query"),
        ("namespace", "query"),
    ]
    chosen = '{cluster=~"$cluster",namespace=~"$namespace"}'
    for panel in monitoring.panels().values():
        for target in panel["targets"]:
            named = re.findall(r"carina_tasks_\w+(\{[^}]*\})?", target["expr"])
            assert named
            assert all(one.endswith(chosen[1:]) for one in named), target["expr"]
    for panel in monitoring.panels().values():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert "id" not in board


def test_the_dashboard_can_be_laid_out():
    """Ids are unique, no two panels overlap, none is wider than the grid, and each reports what it
    shows.
    """
    every = monitoring.dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    taken = set()
    for panel in every:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert all(panel["description"].endswith(".") for panel in monitoring.panels().values())
