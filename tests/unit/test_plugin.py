"""`kubectl carina`: the plugin finds a control pod in any namespace and passes on what it is given.

Run as its users run it, by sh, with a kubectl that writes down what it was asked.
"""

import getpass
import hashlib
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from carina_tasks.model import times

PLUGIN = Path(__file__).parents[2] / "deploy/plugin"
FAKE = """#!/bin/sh
for word in "$@"; do printf '<%s>' "$word" >> "$ASKED"; done
echo >> "$ASKED"
case "$*" in
*failoverstatuses*) printf '%b' "$PUBLISHED"; [ -n "$PUBLISHED" ] || exit 1 ;;
*part-of=carina-tasks*) printf '%b' "$PODS" ;;
*" get pods "*|"get pods "*) printf '%b' "$BY_NAME" ;;
*) exit "$CODE" ;;
esac
[ -z "$DENIED" ] || { echo 'Error from server (Forbidden)' >&2; exit 1; }
"""


@pytest.fixture
def kubectl(tmp_path):
    """Put a kubectl first on PATH; return a function that runs the plugin with its answers."""
    tool = tmp_path / "kubectl"
    tool.write_text(FAKE)
    tool.chmod(0o755)
    asked = tmp_path / "asked"

    def run(*words, pods="ops carina-1 true\\n", by_name="", code=0, denied="", **env):
        asked.write_text("")
        settings = {
            "CARINA_OPERATOR": "me",
            "PODS": pods,
            "BY_NAME": by_name,
            "CODE": str(code),
            "DENIED": denied,
        }
        done = subprocess.run(
            ["sh", PLUGIN / "kubectl-carina", *words],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": asked, **settings, **env},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
        return done, asked.read_text().splitlines()

    return run


def test_it_runs_the_command_in_the_control_pod(kubectl):
    """In whichever namespace that is, without a terminal where there is none."""
    done, asked = kubectl("status", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "<-A><-l><app.kubernetes.io/part-of=carina-tasks," in asked[0]
    assert asked[-1] == (
        "<-n><ops><exec><carina-1><--><env><NO_COLOR=><CARINA_OPERATOR=me><celery><-A><carina_tasks><carina>"
        "<status><-o><json>"
    )


def test_it_says_who_types(kubectl):
    """The user of this machine, unless they have a name of their own; no shell runs it."""
    _, asked = kubectl("pause", "racks", CARINA_OPERATOR="")
    assert f"<CARINA_OPERATOR={getpass.getuser()}@" in asked[-1]
    _, asked = kubectl("pause", "racks", CARINA_OPERATOR="a b; $(reboot)")
    assert "<CARINA_OPERATOR=a b; $(reboot)>" in asked[-1]


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_exit_code_is_the_commands(kubectl, code):
    """Scripts rely on it."""
    assert kubectl("status", code=code)[0].returncode == code


def test_words_arrive_as_they_were_typed(kubectl):
    """Blanks, quotes and what a shell would run, in the options and in the command."""
    odd = 'it\'s $(reboot) `x` "y" *'
    _, asked = kubectl("--context", odd, "pause", odd)
    assert asked[0].startswith(f"<--context><{odd}><get>")
    assert asked[-1].startswith(f"<--context><{odd}><-n><ops>")
    assert asked[-1].endswith(f"<pause><{odd}>")


def test_a_ready_pod_is_preferred_and_none_is_needed(kubectl):
    """Without its broker no control worker is Ready: that is when `status` is typed."""
    _, asked = kubectl("status", pods="ops a false\\nops b true\\n")
    assert "<exec><b>" in asked[-1]
    _, asked = kubectl("status", pods="ops a false\\nops b false\\n")
    assert "<exec><a>" in asked[-1]


def test_the_labels_of_deploy_are_found_too(kubectl):
    """`deploy/` has the label `name`, and `part-of` is Carina's there."""
    done, asked = kubectl("status", pods="", by_name="kube-system control-1 true\\n")
    assert done.returncode == 0
    assert asked[-1].startswith("<-n><kube-system><exec><control-1>")


def test_several_releases_are_not_guessed_at(kubectl):
    """They are listed; with -n one is chosen, and NO_COLOR goes along."""
    done, asked = kubectl("resume", pods="a x true\\nb y true\\n")
    assert (done.returncode, len(asked)) == (2, 1)
    assert "say one of them with -n: a b" in done.stderr
    _, asked = kubectl("-n", "ops", "doctor", NO_COLOR="1")
    assert "<get><pods><-n><ops><-l>" in asked[0]
    assert "<NO_COLOR=1>" in asked[-1]


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (("status",), {"pods": ""}, "no control pod of carina-tasks runs in any namespace"),
        (("-n", "x", "status"), {"pods": ""}, "runs in namespace x"),
        (("status",), {"denied": "1"}, "Forbidden"),
        (("--frobnicate", "status"), {}, "there is no option --frobnicate"),
        (("--context",), {}, "--context needs a value"),
        ((), {}, "kubectl carina [KUBECTL OPTIONS] COMMAND"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_run(kubectl, words, options, said):
    """One message, exit code 2, and no exec."""
    done, asked = kubectl(*words, **options)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not [line for line in asked if "<exec>" in line]


def lines(*since, level="DEGRADED", release="ops", written=None):
    """Make what kubectl prints of the published object: a problem for each time of `since`."""
    written = written or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    head = f"R\\t{release}\\nV\\t{level}\\twhy\\t{written}\\t1\\t1\\t9\\t0\\t0\\t\\t0\\n"
    node = "N\\tn1\\tTrue\\talive\\t2\\t0\\tsurvives\\t\\tall fit\\n"
    rows = (
        f"A\\tns/c{i}\\t<nil>\\tn1\\tmissing\\t{one}\\twhy\\tdo\\n" for i, one in enumerate(since)
    )
    return head + node + "".join(rows)


def test_ages_are_those_of_the_commands(kubectl):
    """Times are read by awk, which knows no calendar: over leap days, months and years."""
    moments = ("2024-02-29T23:59:59Z", "2024-03-01T00:00:00Z", "2000-12-31T12:00:00Z")
    done, asked = kubectl("failed", PUBLISHED=lines(*moments))
    now = datetime.now(UTC).timestamp()
    ages = [line.split()[4] for line in done.stdout.splitlines() if line.startswith("ns/c")]
    assert ages == [times.age(now - datetime.fromisoformat(one).timestamp()) for one in moments]
    assert "<nil>" not in done.stdout
    assert done.stdout.count("\n  do\n") == 1
    assert not [line for line in asked if "<exec>" in line]


@pytest.mark.parametrize(
    ("level", "code"),
    [
        ("HEALTHY", 0),
        ("AT RISK", 0),
        ("WORKING", 0),
        ("DEGRADED", 1),
        ("STOPPED", 1),
        ("UNKNOWN", 2),
    ],
)
def test_the_exit_code_follows_the_published_verdict(kubectl, level, code):
    """As that of the command in the pod does."""
    done, _ = kubectl("status", PUBLISHED=lines(level=level))
    assert (done.returncode, done.stdout.splitlines()[0]) == (code, f"{level}: why")


def test_of_several_published_one_is_chosen(kubectl):
    """They are named, and nothing is shown of either."""
    done, _ = kubectl("status", PUBLISHED=lines() + lines(release="other"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "say one of them with -n: ops other" in done.stderr


def test_what_may_not_be_read_is_asked_in_the_pod(kubectl):
    """The API server's words and the way out are on standard error, the answer is the pod's."""
    done, asked = kubectl("status", code=1)
    assert done.returncode == 1
    assert "no published status can be read; a control pod is asked" in done.stderr
    assert asked[-1].endswith("<carina><status>")


def test_the_krew_manifest_fits_its_archive(tmp_path):
    """Made for the address where the archive is served: its sum is the archive's, its files are
    there.
    """
    url = "https://files.example.com/kubectl-carina.tar.gz"
    subprocess.run(["sh", PLUGIN / "package.sh", "0.1.0", url], cwd=tmp_path, check=True)
    archive = tmp_path / "kubectl-carina.tar.gz"
    manifest = yaml.safe_load((tmp_path / "carina.yaml").read_text())
    (platform,) = manifest["spec"]["platforms"]
    assert platform["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert platform["uri"] == url
    listed = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) == {one["from"] for one in platform["files"]}
    assert platform["bin"] in listed.stdout
    bad = subprocess.run(["sh", PLUGIN / "package.sh", "1", "x"], cwd=tmp_path, check=False)
    assert bad.returncode == 2
