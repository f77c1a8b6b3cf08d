"""Which old copies a node holds, and whether each could be the volume again."""

import pytest
from click.testing import CliRunner

from carina_tasks.cli import plan as plan_command
from carina_tasks.decisions.failback import FailbackImpossible, FailbackPossible, judge_copy
from carina_tasks.errors import NodeSilent
from carina_tasks.flows.report.failback_plan import plan_failback
from carina_tasks.model import well_known
from carina_tasks.model.progress import PastFailover
from carina_tasks.model.quantity import GIB
from tests.builders.failback import LEFT, closed, failed_over
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    LONG_AGO,
    NAME,
    inventory,
    journal,
    local_volume,
    logic_volume,
    node,
    pv,
    world,
)
from tests.builders.trash import lying


def verdict(
    local,
    *,
    lv=None,
    volume=None,
    ready="True",
    registered=True,
    free=100,
    in_use_ready="True",
    cordoned=False,
    beside=(),
):
    """Judge an old copy on n1 of a volume on n2."""
    parts = [node("n2", ready=in_use_ready), lv or failed_over()]
    parts += [node("n1", ready=ready, unschedulable=cordoned)] if registered else []
    parts += [volume or pv(on="n2")] if volume != {} else []
    seen = world(*parts)
    there = inventory("n1", local, *beside, free=free)
    return judge_copy(local, there, seen, seen.logic_volumes[NAME], 10 * GIB)


def test_a_closed_copy_that_is_large_enough_could_be_the_volume_again():
    """Nothing is left to do but to activate it."""
    assert isinstance(verdict(closed()), FailbackPossible)


def managed_as(kind):
    """Return the LogicVolume of the failover, with another manage type."""
    raw = failed_over()
    raw["metadata"]["annotations"][well_known.MANAGE_TYPE] = kind
    return raw


REFUSED = {
    "open": ({"local": closed(is_open=True)}, "it is open"),
    "another group": ({"local": closed(group="carina-vg-ssd")}, "volume group carina-vg-ssd"),
    "never wiped": (
        {"local": closed(tags=(f"{well_known.TAG_CREATING}i1",))},
        "interrupted before lvm wiped it",
    ),
    "in a pvmove": ({"local": closed(at_work="a pvmove")}, "a pvmove"),
    "snapshot": ({"local": closed(role="public,origin")}, "not linear"),
    "node not Ready": ({"local": closed(), "ready": "Unknown"}, "not Ready"),
    "node not registered": ({"local": closed(), "registered": False}, "not registered"),
    "node cordoned": ({"local": closed(), "cordoned": True}, "kubectl uncordon n1"),
    "node in use is NotReady": (
        {"local": closed(), "in_use_ready": "Unknown"},
        "a pod may still write there",
    ),
    "another LV has its name": (
        {
            "local": lying(1, f"volume-{NAME}"),
            "beside": (closed(uuid="other1-bbbb-cccc-dddd-eeee-ffff-gggggg"),),
        },
        "another LV is called",
    ),
    "of another volume": (
        {"local": closed(age=LONG_AGO + 400)},
        "belonged to another volume of that name",
    ),
    "being rebuilt": ({"local": closed(), "lv": failed_over(journal=journal())}, "being rebuilt"),
    "unreadable journal": ({"local": closed(), "lv": failed_over(journal="{")}, "being rebuilt"),
    "no PV": ({"local": closed(), "volume": {}}, "not there"),
    "PV elsewhere": ({"local": closed(), "volume": pv(on="n3")}, "names n3"),
    "managed otherwise": ({"local": closed(), "lv": managed_as("raw")}, "not by LVM"),
    "too small": ({"local": closed(size=3 * GIB), "free": 11}, "1Gi to extend it"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_copy_that_cannot_be_the_volume_says_why(case):
    """Each condition alone makes it impossible, and the reason names it."""
    options, words = REFUSED[case]
    found = verdict(options["local"], **{k: v for k, v in options.items() if k != "local"})
    assert isinstance(found, FailbackImpossible)
    assert words in found.reason


def test_a_copy_that_is_smaller_than_the_volume_would_be_extended():
    """The claim has grown since: the reserve of the volume group stays free."""
    found = verdict(closed(size=3 * GIB), free=12)
    assert isinstance(found, FailbackPossible)
    assert "from 3Gi to 5Gi" in found.reason


def test_a_copy_that_a_rebuild_of_the_volume_made_is_its_own_whatever_the_clock_says():
    """Its intent is in the history of the LogicVolume; the node's clock was a day behind when it
    was made.
    """
    made = closed(age=LONG_AGO + 86400, tags=(f"{well_known.TAG_INTENT}i1",))
    assert isinstance(verdict(made, lv=failed_over(LEFT)), FailbackPossible)
    assert isinstance(verdict(made), FailbackImpossible)


def test_a_smaller_copy_that_is_read_as_a_device_is_not_extended():
    """What would be added holds the bytes of other volumes, and its pod could read them."""
    block = pv(on="n2")
    block["spec"]["volumeMode"] = "Block"
    found = verdict(closed(size=3 * GIB), volume=block)
    assert isinstance(found, FailbackImpossible)
    assert "the bytes of other volumes" in found.reason
    assert isinstance(verdict(closed(), volume=block), FailbackPossible)


def test_the_plan_names_the_age_of_both_copies_and_writes_nothing():
    """The old one has no data after the failover, the one in use was empty at the last; LVs in use
    are no old copies.
    """
    again = PastFailover("2026-01-05T00:00:00Z", "migrate", "n3", "n2", "", "i2")
    api = FakeApi(
        node("n1"),
        node("n2"),
        failed_over(LEFT, again),
        pv(on="n2"),
        logic_volume("pvc-2"),
        pv("pvc-2"),
    )
    fake = FakeNodes(inventory("n1", closed(), local_volume("volume-pvc-2")), inventory("n2"))
    result = plan_failback(context(api, fake), "n1")
    (copy,) = result.copies
    assert (copy.claim, copy.volume, copy.in_use, copy.outcome) == (
        f"default/claim-{NAME}",
        NAME,
        "n2",
        "possible",
    )
    assert (copy.data_until, copy.in_use_since) == (1767323045, 1767571200)
    assert result.reason == "node n1 holds 1 old copies; 1 of them could be the volume again"
    assert api.log == []
    assert fake.tasks() == []


def test_a_copy_in_the_trash_is_found_also_on_a_renamed_machine():
    """The disks of n1 are in a machine that is called n9 now, and the copy lies in its trash: found
    by what is on the disk.
    """
    api = FakeApi(node("n9"), node("n2"), failed_over(LEFT), pv(on="n2"))
    fake = FakeNodes(inventory("n9", lying(1, f"volume-{NAME}")), inventory("n2"))
    (copy,) = plan_failback(context(api, fake), "n9").copies
    assert (copy.outcome, copy.data_until) == ("possible", 0)
    assert "was the machine renamed?" in copy.reason


def test_a_copy_in_the_trash_of_the_node_that_runs_the_volume_is_an_old_copy():
    """A second failover brought the volume back to n1 as another LV: the trash has what it had
    before the first.
    """
    api = FakeApi(node("n1"), logic_volume(), pv())
    fake = FakeNodes(inventory("n1", lying(1, f"volume-{NAME}"), local_volume()))
    (copy,) = plan_failback(context(api, fake), "n1").copies
    assert copy.name.endswith("/trash-000001-bbbb-cccc-dddd-eeee-ffff-gggggg")


def test_a_silent_node_is_an_error_and_not_an_empty_plan():
    """Without its worker nothing is known of the disks."""
    with pytest.raises(NodeSilent):
        plan_failback(context(FakeApi(node("n1")), FakeNodes()), "n1")


def test_the_command_prints_a_table_and_ends_with_one_when_a_copy_cannot_go_back(monkeypatch):
    """Exit code 0 with all possible, 1 with one that is not, 2 with both options."""
    api = FakeApi(node("n1"), node("n2"), failed_over(LEFT), pv(on="n2"))
    fake = FakeNodes(inventory("n1", closed()), inventory("n2"))
    monkeypatch.setattr(plan_command, "context", lambda: context(api, fake))
    shown = CliRunner().invoke(plan_command.command, ["n1", "--failback"])
    assert shown.exit_code == 0, shown.output
    assert f"default/claim-{NAME}" in shown.output
    assert "2026-01-02" in shown.output
    fake.now["n1"] = inventory("n1", closed(is_open=True))
    assert CliRunner().invoke(plan_command.command, ["n1", "--failback"]).exit_code == 1
    assert (
        CliRunner().invoke(plan_command.command, ["n1", "--failback", "--not-ready"]).exit_code == 2
    )
