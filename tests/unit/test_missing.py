"""Which LogicVolumes are reported as missing their local volume."""

import pytest

from carina_tasks.decisions import orphans
from carina_tasks.model import objects
from carina_tasks.model.local import Inventory
from tests.builders.kubernetes import (
    NAME,
    NOW,
    at,
    inventory,
    journal,
    local_volume,
    logic_volume,
    world,
)


def missing_local_volumes(cluster, found, grace):
    """Return what is missing of the volumes of a cluster."""
    return orphans.missing_local_volumes(cluster.logic_volumes.values(), found, cluster.now, grace)


def names(found):
    """Return the names of what is missing."""
    return [item.logic_volume.name for item in found]


def test_a_success_without_its_local_volume_is_missing():
    """The LogicVolume says Success on this node, lvm has no such LV: reported, with where it should
    be.
    """
    found = missing_local_volumes(world(logic_volume()), inventory("n1"), 600)
    assert names(found) == [NAME]
    assert "carina-vg-hdd/volume-pvc-1" in found[0].reason


def test_one_whose_local_volume_is_there_is_not():
    """The LV of that name in that VG is what is looked for."""
    assert missing_local_volumes(world(logic_volume()), inventory("n1", local_volume()), 600) == ()


def test_the_same_name_in_another_group_is_still_missing():
    """An LV of the name in another VG is another volume."""
    assert names(
        missing_local_volumes(
            world(logic_volume()), inventory("n1", local_volume(group="other")), 600
        )
    ) == [NAME]


@pytest.mark.parametrize(
    "facts",
    [
        {"on": "n2"},
        {"status": ""},
        {"status": "Failed"},
        {"journal": journal()},
        {"journal": "unreadable"},
        {"manage": "raw"},
        {"ownerReferences": [{"kind": "LogicVolume", "name": "half", "uid": "u"}]},
        {"deletionTimestamp": at(NOW - 10)},
        {"created": NOW - 599},
    ],
)
def test_what_is_elsewhere_unfinished_or_not_ours_is_not_reported(facts):
    """Each of these alone is a reason why no local volume is expected here and now."""
    assert missing_local_volumes(world(logic_volume(**facts)), inventory("n1"), 600) == ()


def test_one_of_a_release_that_wrote_no_type_is_reported_too():
    """Old LogicVolumes without a manage type count as LVM."""
    assert objects.parse_logic_volume(logic_volume(manage=None)).manage_type == ""
    assert names(missing_local_volumes(world(logic_volume(manage=None)), inventory("n1"), 600)) == [
        NAME
    ]


def test_a_group_that_is_not_there_at_all_is_told_apart():
    """The node reports no such VG: a failing disk, and nothing is known of the volume's data."""
    (found,) = missing_local_volumes(
        world(logic_volume()), Inventory(node="n1", groups=(), volumes=()), 600
    )
    assert "reports no volume group carina-vg-hdd: its disk fails" in found.reason
