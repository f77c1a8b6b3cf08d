"""What is in deploy/monitoring, read for the tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "monitoring"
RUNBOOKS = ROOT / "docs" / "runbooks"


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def rule_tests() -> list[dict[str, Any]]:
    """Return every assertion of rules_test.yml."""
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    return [one for test in tests for one in test["alert_rule_test"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return found


def panels() -> dict[str, dict[str, Any]]:
    """Return the dashboard's panels that show something, by title."""
    return {panel["title"]: panel for panel in dashboard()["panels"] if panel["type"] != "row"}


def query_of(expression: str) -> str:
    """Return a query as Grafana sends it while all clusters and namespaces are selected."""
    return re.sub(r"\$(cluster|namespace)\b", ".*", expression)


def metric_names(expression: str) -> set[str]:
    """Return the metrics that an expression names, without what a histogram adds."""
    return {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for name in re.findall(r"\bcarina_tasks_\w+", expression)
    }
