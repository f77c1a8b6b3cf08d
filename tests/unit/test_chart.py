"""The Helm chart's generated parts are those of the code, and nothing in it is a copy."""

import json
import re
import runpy
from pathlib import Path

import yaml

from carina_tasks.settings import FIELDS
from tools.reference import chart

DEPLOY = Path(__file__).parents[2] / "deploy"
DEFAULTS = yaml.safe_load(chart.VALUES.read_text())
SCHEMA = json.loads(chart.SCHEMA.read_text())


def test_the_schema_is_that_of_the_settings():
    """Run `python -m tools.reference.chart` after a change of settings.py."""
    assert chart.SCHEMA.read_text() == chart.schema()


def test_each_setting_is_a_value_or_set_by_the_chart():
    """None is forgotten, and none is both."""
    values = {name.lower() for name in chart.settings_schema()["properties"]}
    assert values | chart.BY_THE_CHART.keys() == set(FIELDS)
    assert not values & chart.BY_THE_CHART.keys()


def test_extra_env_cannot_be_what_the_chart_makes():
    """The list in validate.yaml; what is fixed in the program as well may be set for a try."""
    text = (chart.CHART / "templates" / "validate.yaml").read_text()
    refused = set(re.search(r'splitList " " "(.*)"', text)[1].split())
    made = {n.upper() for n, source in chart.BY_THE_CHART.items() if source != "fixed"}
    own = {"NODE_NAME", "ENROLMENT_CERTIFICATE", "ENROLMENT_PRIVATE_KEY", "ENROLMENT_MASTER_KEY"}
    assert refused == made - own | {"METRICS_PORT"}


def test_the_table_is_that_of_the_values():
    """Run `python -m tools.reference.chart` after a change of values.yaml."""
    assert chart.README.read_text() == chart.readme()


def test_every_value_is_in_the_schema_and_each_of_the_schema_in_the_values():
    """A key that one has and the other lacks could not be set, or would do nothing."""

    def keys(schema, before=""):
        if "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        for key, one in schema.get("properties", {}).items():
            below = set(keys(one, f"{before}{key}.")) if key != "settings" else ()
            yield from below or {before + key}

    leaves = {
        "settings" if name.startswith("settings") else name for name, _ in chart.leaves(DEFAULTS)
    }
    assert set(keys(SCHEMA)) - {"global"} == leaves


def test_no_section_of_the_values_can_be_taken_away():
    """`control:` with nothing behind it is named, before a template stumbles over it."""

    def sections(schema, values, before=""):
        for key, one in schema["properties"].items():
            if "properties" in one and key not in ("settings", "global"):
                assert key in schema["required"], before + key
                yield before + key
                yield from sections(one, values[key], f"{before}{key}.")

    found = set(sections(SCHEMA, DEFAULTS))
    assert {"control", "broker.bundled", "networkPolicy.egress"} <= found


def test_nothing_is_copied():
    """Roles, alerts, dashboard, redis.conf and the policy are links to the files of deploy/."""
    links = {path.name: path for path in (chart.CHART / "files").iterdir()}
    assert all(path.is_symlink() and path.exists() for path in links.values())
    assert all(DEPLOY in path.resolve().parents for path in links.values())
    assert links.keys() == {
        "dashboard.json",
        "enrolment-rbac.yaml",
        "failoverstatuses.yaml",
        "podmonitor.yaml",
        "policy.yaml",
        "rbac.yaml",
        "redis.conf",
        "rules.yml",
    }


def test_the_users_are_those_of_acl_py():
    """The chart's users of the broker have the rights that acl.py gives them."""
    text = (chart.CHART / "templates" / "secrets.yaml").read_text()
    users = runpy.run_path(str(DEPLOY.parent / "carina_tasks" / "store" / "acl_rules.py"))["SHARED"]
    for user, rules in users.values():
        (line,) = [
            one.strip() for one in text.splitlines() if one.strip().startswith(f"user {user} ")
        ]
        assert line.endswith(f"}}}} {rules}")
    assert "user default reset off" in text
