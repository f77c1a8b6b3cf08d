"""The picture of the dashboard shows what Prometheus answered, and nothing of it becomes markup."""

import xml.etree.ElementTree as ElementTree

import pytest

from tests import monitoring
from tests.dashboard_picture import Series, series_of, shown, svg

BOARD = monitoring.dashboard()
IDS = {panel["title"]: panel["id"] for panel in BOARD["panels"]}


def texts(found):
    """Return all texts of the picture."""
    tree = ElementTree.fromstring(svg(BOARD, found))
    return [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_each_panel_is_there_with_its_values():
    """Numbers, tables, lines with their legends; a panel without an answer says so."""
    answer = [{"metric": {"__name__": "x", "state": "success"}, "values": [[1, "4"], [5, "6"]]}]
    found = {
        IDS["Paused"]: list(series_of([{"metric": {}, "value": [1, "7"]}], "")),
        IDS["LogicVolumes by state"]: list(series_of(answer, "{{cluster}} {{state}}")),
        IDS["Claims affected"]: [Series({"claim": "db/data-0", "why": "lost"}, [(1, 1)])],
    }
    said = texts(found)
    assert set(IDS) <= set(said)
    assert {"7", "— success", "db/data-0", "lost", "No data"} <= set(said)
    assert said.count("No data") == len(monitoring.panels()) - 3


def test_a_hostile_label_is_text():
    """A claim's name comes from the cluster."""
    odd = "</text><script>alert(1)</script>"
    assert odd in texts({IDS["Claims affected"]: [Series({"claim": odd}, [(1, 1)])]})


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.35, "s", "350 ms"), (12.0, "s", "12 s"), (3 << 20, "bytes", "3 MiB"), (4, "short", "4")],
)
def test_values_have_their_units(value, unit, text):
    """As people read them."""
    assert shown(value, unit) == text
