"""Which strings pass as names: none that a shell, lvm or a URL would read as more than a name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.errors import BadInput
from carina_tasks.model import names
from carina_tasks.model.messages import MarkLvs, read_request
from tests.builders.kubernetes import UUID_LV

CHECKS = [
    names.node_name,
    names.object_name,
    names.namespace_name,
    names.volume_group_name,
    names.logical_volume_name,
    names.lvm_uuid,
    names.local_volume_of,
]
META = list(" \t\n\r\0;&|<>()$`\\\"'*?[]{}~#%^!,:@=/\x7f\u2028é٣")
"""What a shell, an lvm command line or a URL gives a meaning to, and letters of other scripts."""


@pytest.mark.parametrize("check", CHECKS)
@given(st.text("ab1-.", max_size=8), st.sampled_from(META), st.text("ab1-.", max_size=8))
def test_no_metacharacter_passes_anywhere(check, before, char, after):
    """In front, in the middle or at the end: one such character and the name is refused."""
    with pytest.raises(BadInput):
        check(before + char + after)


@pytest.mark.parametrize("check", CHECKS)
@given(st.text())
def test_what_passes_is_made_of_plain_characters(check, text):
    """Any text at all: what passes is ASCII letters, digits, + _ . - and does not begin with a
    hyphen.
    """
    try:
        name = check(text)
    except BadInput as exc:
        assert len(exc.message) < 250  # noqa: PT017
        return
    assert re.fullmatch(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*", name)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "value", [None, 1, True, b"n1", ["n1"], {"a": 1}, "", "-rf", "--config", ".", ".."]
)
def test_what_is_no_name_at_all_is_refused(check, value):
    """Other types, the empty string, options and the dots of a path."""
    if check is names.local_volume_of and value == "-rf":
        return
    with pytest.raises(BadInput):
        check(value)


@pytest.mark.parametrize("name", ["n1", "10.20.9.154", "node-1.example.com", "a" * 253])
def test_node_names_of_the_field_pass(name):
    """Short names, addresses and full names."""
    assert names.node_name(name) == name


@pytest.mark.parametrize("name", ["N1", "a..b", "a.-b", "-a", "a-", ".a", "a.", "a_b", "a" * 254])
def test_what_kubernetes_refuses_is_refused(name):
    """RFC 1123 subdomains only."""
    with pytest.raises(BadInput, match="node name"):
        names.node_name(name)


def test_a_namespace_is_a_label():
    """No dots, 63 characters."""
    assert names.namespace_name("a" * 63)
    for bad in ("a.b", "a" * 64):
        with pytest.raises(BadInput):
            names.namespace_name(bad)


@pytest.mark.parametrize(
    "name", ["snapshot1", "pvmove0", "x_tdata", "a_rimage_0", "volume-x_pmspare", "x_vorigin"]
)
def test_lvms_own_words_are_refused(name):
    """lvm(8) keeps these for itself."""
    with pytest.raises(BadInput, match="reserves that name"):
        names.logical_volume_name(name)


def test_the_length_of_lvm_counts_with_the_prefix():
    """volume-<name> may have 127 characters: one more is refused before lvm is asked."""
    assert len(names.local_volume_of("a" * 120)) == 127
    with pytest.raises(BadInput):
        names.local_volume_of("a" * 121)


def test_local_volume_and_logic_volume_are_each_others_inverse():
    """volume-X belongs to X, and nothing without the prefix belongs to anybody."""
    assert names.logic_volume_of(names.local_volume_of("pvc-1")) == "pvc-1"
    for other in ("pvc-1", "Volume-pvc-1", "thin-pvc-1", "volume-"):
        with pytest.raises(BadInput):
            names.logic_volume_of(other)


@pytest.mark.parametrize("field", ["group", "name", "uuid"])
@given(st.sampled_from(META), st.booleans())
def test_no_metacharacter_passes_in_a_message(field, char, inside):
    """The shapes of messages refuse what the checks refuse, a newline at the very end included."""
    target = {"group": "vg", "name": "volume-x", "uuid": UUID_LV}
    assert read_request({"at": 1, "mark": [target]}, MarkLvs).mark[0].group == "vg"
    value = target[field]
    target[field] = value[:-1] + char + value[-1:] if inside else value + char
    with pytest.raises(BadInput):
        read_request({"at": 1, "mark": [target]}, MarkLvs)


def test_long_nonsense_is_cut_in_the_message():
    """A megabyte of input does not become a megabyte of log."""
    with pytest.raises(BadInput) as caught:
        names.node_name("X" * 10**6)
    assert len(caught.value.message) < 200
