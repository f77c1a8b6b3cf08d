"""The dashboard against Grafana's own schema: the classes that Grafana generates from it.

Source: grafana-foundation-sdk, made from the schemas of the Grafana release in its version. Its
classes keep the fields that the schema has, so what does not come back from them is no field.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests import monitoring


def unknown(board: dict[str, Any]) -> list[str]:
    """Return the paths of what Grafana's schema does not know, or holds for another value."""
    register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(copy.deepcopy(board))))
    return list(_lost(board, read, ""))


def _lost(wanted: Any, found: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if key in found:
                yield from _lost(value, found[key], f"{path}/{key}")
            else:
                yield f"{path}/{key}"
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _lost(one, other, f"{path}/{index}")
    elif wanted != found:
        yield path


def test_grafana_knows_every_field_of_the_dashboard():
    """Nothing is lost when Grafana's own classes read it and write it again."""
    assert unknown(monitoring.dashboard()) == []


def test_a_field_that_grafana_does_not_have_is_found():
    """Misspelt in a panel, in a query, in a variable, at the top."""
    board = monitoring.dashboard()
    panel = board["panels"][1]
    panel["gridPosition"] = panel["gridPos"]
    panel["targets"][0]["legend"] = "x"
    board["templating"]["list"][1]["includeAl"] = True
    board["refreshEvery"] = "30s"
    assert {path.rsplit("/", 1)[-1] for path in unknown(board)} == {
        "gridPosition",
        "legend",
        "includeAl",
        "refreshEvery",
    }
