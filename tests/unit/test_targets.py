"""What an operator may type for a volume: its claim, its pod, its names, or its node."""

import pytest

from carina_tasks.decisions import targets
from carina_tasks.errors import BadInput
from carina_tasks.model.objects import parse_logic_volume
from tests.builders import kubernetes as b


def seen(*more):
    """Make a cluster of two nodes, two volumes and the pod ``db-0`` that uses both."""
    pod = b.pod("db-0", "pvc-1", "pvc-2", on="n1")
    parts = [b.node("n1"), b.node("n2"), pod]
    for name in ("pvc-1", "pvc-2"):
        parts += [b.logic_volume(name), b.pv(name), b.claim(name)]
    return b.world(*parts, *more)


def elsewhere(name="pvc-9", claim="claim-pvc-1", namespace="other"):
    """Make the LogicVolume of a claim in another namespace."""
    raw = b.logic_volume(name)
    raw["spec"] |= {"pvc": claim, "nameSpace": namespace}
    parse_logic_volume(raw)
    return raw


@pytest.mark.parametrize(
    ("word", "volumes", "node"),
    [
        ("default/claim-pvc-1", ("pvc-1",), ""),
        ("claim-pvc-1", ("pvc-1",), ""),
        ("pvc/default/claim-pvc-1", ("pvc-1",), ""),
        ("pvc-1", ("pvc-1",), ""),
        ("volume-pvc-1", ("pvc-1",), ""),
        ("lv/pvc-1", ("pvc-1",), ""),
        ("pod/default/db-0", ("pvc-1", "pvc-2"), ""),
        ("pod/db-0", ("pvc-1", "pvc-2"), ""),
        ("default/db-0", ("pvc-1", "pvc-2"), ""),
        ("db-0", ("pvc-1", "pvc-2"), ""),
        ("n1", (), "n1"),
        ("node/n2", (), "n2"),
    ],
)
def test_each_form_is_understood(word, volumes, node):
    """Claim, pod, volume and node, each in full and in short."""
    found = targets.find(seen(), word)
    assert (found.volumes, found.node) == (volumes, node)


def test_a_deleted_node_is_meant_while_a_volume_names_it():
    """It is what the page at 3 a.m. is about."""
    assert targets.find(seen(b.logic_volume("pvc-7", on="n9")), "n9").node == "n9"


def test_an_ambiguous_word_lists_what_it_may_mean():
    """Never the first that fits: the error has every meaning in a form that can be typed."""
    with pytest.raises(BadInput) as caught:
        targets.find(seen(elsewhere()), "claim-pvc-1")
    assert "pvc/default/claim-pvc-1, pvc/other/claim-pvc-1" in caught.value.message
    for full in ("pvc/default/claim-pvc-1", "pvc/other/claim-pvc-1"):
        assert len(targets.find(seen(elsewhere()), full).volumes) == 1


def test_a_claim_that_is_called_like_a_node_is_ambiguous():
    """Retrying a node is not retrying a volume."""
    with pytest.raises(BadInput, match=r"may mean node/n1, pvc/other/n1"):
        targets.find(seen(elsewhere(claim="n1")), "n1")


def test_a_namespace_that_is_called_pod_can_be_named():
    """Two slashes say the kind; with one, both are looked for."""
    cluster = seen(elsewhere(namespace="pod", claim="x"))
    assert targets.find(cluster, "pod/x").volumes == ("pvc-9",)
    assert targets.find(cluster, "pvc/pod/x").volumes == ("pvc-9",)


def test_a_typo_gets_what_is_similar():
    """Or the forms, when nothing is."""
    with pytest.raises(BadInput, match="did you mean default/claim-pvc-1"):
        targets.find(seen(), "default/claim-pcv-1")
    with pytest.raises(BadInput, match="write NAMESPACE/CLAIM"):
        targets.find(seen(), "zzz")


@pytest.mark.parametrize("word", ["", "\x1b[31mn1", "x" * 601, "a\nb", "pod/", "/", "node/", "n1/"])
def test_rubbish_names_nothing(word):
    """Nothing of it reaches the terminal, and nothing is matched."""
    with pytest.raises(BadInput) as caught:
        targets.find(seen(), word)
    assert caught.value.message.isprintable()


def test_where_one_volume_is_wanted_a_pod_with_two_is_refused():
    """It lists the claims of which one is to be named; a node is no volume."""
    with pytest.raises(BadInput, match=r"name one of default/claim-pvc-1, default/claim-pvc-2"):
        targets.one_volume(seen(), "db-0")
    with pytest.raises(BadInput, match="node/n1 is no volume"):
        targets.one_volume(seen(), "n1")
    assert targets.one_volume(seen(), "default/claim-pvc-2") == "pvc-2"


def test_the_node_of_a_claim():
    """Where a node is wanted, a claim or pod means the node that it is on."""
    assert targets.node_of(seen(), "default/claim-pvc-1") == "n1"
    assert targets.node_of(seen(), "n2") == "n2"
    apart = seen(b.logic_volume("pvc-2", on="n2"))
    with pytest.raises(BadInput, match="several nodes"):
        targets.node_of(apart, "db-0")
