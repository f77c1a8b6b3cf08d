"""The lock files of the images, and what is made from them: bills of materials and licences."""

import dataclasses
import json
import re
import tomllib

import pytest

from tools import licences, lock_files, sbom
from tools.lock_files import IMAGES, Pin
from tools.reference import licences_page

ROOT = lock_files.FOLDER.parents[1]


def test_the_node_worker_has_the_runtime_without_two():
    """node.in names every dependency of the package but the client of Kubernetes and YAML: one that
    is added to the package has to be thought of here.
    """
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["dependencies"]
    names = {re.match(r"[\w-]+", one)[0] for one in declared}
    lines = (lock_files.FOLDER / "node.in").read_text().splitlines()
    node = {re.match(r"[\w-]+", one)[0] for one in lines if one and not one.startswith("#")}
    assert names - node == {"kubernetes", "pyyaml"}
    assert node <= names


def test_images_hold_the_same_versions():
    """What two images have in common is one version with the same sums, and each is part of the
    next.
    """
    node, runtime, demo = (set(lock_files.read(IMAGES[one])) for one in ("node", "runtime", "demo"))
    assert node < runtime < demo
    assert "kubernetes" not in {pin.name for pin in node}


def test_the_dockerfile_installs_the_lock_files():
    """Each image has its target and its lock file, and none is built as root."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    for target, lock in IMAGES.items():
        assert re.search(rf"^FROM \S+ AS {target}$", text, re.MULTILINE), target
        assert f"COPY deploy/requirements/{lock} /tmp/\n" in text
        assert f"--require-hashes -r /tmp/{lock}" in text
    for stage in re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]:
        if stage.split()[2:3] in (["runtime"], ["node"]):
            assert re.findall(r"^USER (.*)$", stage, re.MULTILINE) == ["10001:10001"]
    assert "USER root" not in text


def test_a_bill_names_every_package():
    """Name, version, licence and sums of each pin; twice the same bytes; no address of an index."""
    for image, lock in IMAGES.items():
        made = sbom.bill(image)
        assert {(one["name"], one["version"]) for one in made["components"]} == {
            (pin.name, pin.version) for pin in lock_files.read(lock)
        }
        refs = {one["bom-ref"] for one in made["components"]}
        assert set(made["dependencies"][0]["dependsOn"]) == refs
        assert all(one["externalReferences"][0]["hashes"] for one in made["components"])
        assert json.dumps(made) == json.dumps(sbom.bill(image))
        assert set(re.findall(r"https?://[^/\"]+", json.dumps(made))) == {"http://cyclonedx.org"}


def test_another_content_is_another_bill(monkeypatch):
    """The serial number belongs to the content."""
    before = sbom.bill("node")["serialNumber"]
    pins = lock_files.read("node.txt")
    monkeypatch.setattr(sbom.lock_files, "read", lambda _: pins[1:])
    assert sbom.bill("node")["serialNumber"] != before


def test_licences_page_is_up_to_date():
    """docs/licences.md is what the pinned packages state; `make licences` makes it."""
    assert (ROOT / "docs" / "licences.md").read_text() == licences_page.page()


def test_an_unknown_licence_is_an_error():
    """A package of another version, or none at all, has no licence that could be stated."""
    (celery,) = (pin for pin in lock_files.read("node.txt") if pin.name == "celery")
    with pytest.raises(licences.UnknownLicenceError, match="the lock file pins 0"):
        licences.licence(dataclasses.replace(celery, version="0"))
    with pytest.raises(licences.UnknownLicenceError, match="is not installed"):
        licences.licence(Pin("no-such-package", "1", "", ()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("celery>=5\n", "neither a pin nor a hash"),
        ("celery==5.7.0\n", "celery has no hash"),
        (f"    --hash=sha256:{'0' * 64}\n", "a hash before the first package"),
        ("celery==5.7.0 \\\n    --hash=md5:0\n", "neither a pin nor a hash"),
    ],
)
def test_a_broken_lock_file_is_an_error(tmp_path, monkeypatch, text, words):
    """A package without a sum would be installed unseen."""
    (tmp_path / "bad.txt").write_text(text)
    monkeypatch.setattr(lock_files, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=words):
        lock_files.read("bad.txt")
