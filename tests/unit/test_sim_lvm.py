"""The simulated lvm executable: words, exit codes, its shell, its state.

What the adapter does with it is tested beside real lvm2 in ``tests/system/test_lvm_loop.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from carina_tasks.emulator.lvm.install import add_group, install, set_open
from carina_tasks.lvm.report import FULLREPORT
from carina_tasks.model.quantity import GIB

VG = "carina-vg-hdd"
REPORTS = Path(__file__).parent / "lvm_reports"


@pytest.fixture
def lvm(tmp_path: Path) -> Path:
    """Return a simulated node with one VG of 12 GiB."""
    return install(tmp_path, tmp_path / "state.json", {VG: 12 * GIB})


def run(lvm: Path, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command."""
    return subprocess.run(
        [lvm, *words], input=stdin, capture_output=True, text=True, check=False, env={}
    )


def names(lvm: Path) -> list[str]:
    """Return the volumes there are."""
    return run(lvm, "lvs", "--noheadings", "-o", "lv_name").stdout.split()


# Command line, exit code and words as recorded from lvm2 2.03.16
SAID = [
    (
        ["lvcreate", "-y", "-n", "volume-a", "-L", "1g", VG],
        5,
        f'  Logical Volume "volume-a" already exists in volume group "{VG}"',
    ),
    (
        ["lvcreate", "-y", "-n", "b", "-L", "100g", VG],
        5,
        f'  Volume group "{VG}" has insufficient free space (2816 extents): 25600 required.',
    ),
    (
        ["lvcreate", "-y", "-n", "b", "-L", "1g", "novg"],
        5,
        '  Volume group "novg" not found\n  Cannot process volume group novg',
    ),
    (
        ["lvcreate", "-y", "-n", "b", "-L", "1073741825b", VG],
        3,
        "  Size is not a multiple of 512. Try using 1073741824 or 1073742336.\n  Invalid argument "
        "for --size: 1073741825b\n  Error during parsing of command line.",
    ),
    (
        ["lvcreate", "--bogus"],
        3,
        "lvcreate: unrecognized option '--bogus'\n  Error during parsing of command line.",
    ),
    (["lvremove", "-y", f"{VG}/volume-zz"], 5, f'  Failed to find logical volume "{VG}/volume-zz"'),
    (["lvremove", "-y", f"{VG}/volume-a"], 5, f"  Logical volume {VG}/volume-a in use."),
    (
        ["lvextend", "-y", "-L", "1g", f"{VG}/volume-a"],
        5,
        "  New size (256 extents) matches existing size (256 extents).",
    ),
    (
        ["lvextend", "-y", "-L", "512m", f"{VG}/volume-a"],
        5,
        "  New size given (128 extents) not larger than existing size (256 extents)",
    ),
    (
        ["lvextend", "-y", "-L", "100g", f"{VG}/volume-a"],
        5,
        "  Insufficient free space: 25344 extents needed, but only 2816 available",
    ),
    (
        ["lvextend", "-y", "-L", "2g", f"{VG}/volume-zz"],
        5,
        f"  Logical volume volume-zz not found in volume group {VG}.",
    ),
    (
        ["lvchange", "--addtag", "bad tag", f"{VG}/volume-a"],
        3,
        "  Invalid argument for --addtag: bad tag\n  Error during parsing of command line.",
    ),
    (
        ["lvrename", VG, "volume-zz", "b"],
        5,
        f'  Existing logical volume "volume-zz" not found in volume group "{VG}"',
    ),
    (["nosuch"], 2, "  No such command.  Try 'lvm help'."),
]


@pytest.mark.parametrize(
    ("words", "code", "said"), SAID, ids=[" ".join(words) for words, _, _ in SAID]
)
def test_refusals_are_lvm2s_word_for_word(lvm: Path, words: list[str], code: int, said: str):
    """Exit codes and stderr are those of the real one, and nothing has changed."""
    assert run(lvm, "lvcreate", "-y", "-Wy", "-n", "volume-a", "-L1g", VG).returncode == 0
    set_open(lvm.parent / "state.json", VG, "volume-a", True)
    before = (lvm.parent / "state.json").read_text()
    done = run(lvm, *words)
    assert (done.returncode, done.stderr) == (code, said + "\n")
    assert (lvm.parent / "state.json").read_text() == before


def shape(part: dict) -> dict:
    """Return which fields each section of a report's part has."""
    return {kind: set(rows[0]) if rows else set() for kind, rows in part.items()}


def test_the_report_has_the_fields_of_a_real_one(lvm: Path):
    """Sections and fields of fullreport are those recorded from lvm2."""
    run(lvm, "lvcreate", "-y", "--type", "thin-pool", "-n", "thin-a", "-L", "1g", VG)
    run(lvm, "lvcreate", "-y", "-n", "volume-a", "-V", "2g", "--thinpool", "thin-a", VG)
    real = json.loads((REPORTS / "2.03.16" / "exotic.json").read_text())["report"][0]
    mine = json.loads(run(lvm, "fullreport", *FULLREPORT).stdout)["report"][0]
    assert shape(mine) == shape(real)
    assert mine["seg"][0]["thin_count"] == "1"
    assert mine["pv"][0]["pv_free"] == str(11 * GIB)


def test_people_can_read_it(lvm: Path):
    """Plain lvs and vgs print columns with headings."""
    run(lvm, "lvcreate", "-y", "-n", "volume-a", "-L", "5g", VG)
    assert run(lvm, "lvs").stdout.splitlines()[1].split() == ["volume-a", VG, "-wi-a-----", "5.00g"]
    assert run(lvm, "vgs", "-o", "vg_name,vg_free", "--units", "b").stdout.split()[2:] == [
        VG,
        f"{7 * GIB}B",
    ]


def test_the_shell_goes_on_after_errors_and_exits_with_0(lvm: Path):
    """As lvm's own: an unknown word, a failing command, quotes, a comment, quit."""
    lines = [
        f"lvcreate -y -n volume-a -L 1g {VG}",
        f"lvcreate -y -n volume-a -L 1g {VG}",
        "bogus",
        "# a comment",
        "",
        f'lvchange -S \'lv_name="volume-a" && lv_role=["public"]\' --addtag x {VG}/volume-a',
        "lvs 'unbalanced",
        f"lvcreate -y -n volume-b -L 1g {VG}",
        "quit",
        f"lvcreate -y -n volume-c -L 1g {VG}",
    ]
    done = run(lvm, stdin="\n".join(lines) + "\n")
    assert done.returncode == 0
    assert "No such command 'bogus'.  Try 'help'." in done.stderr
    assert run(lvm, "lvs", "--noheadings", "-o", "lv_name,lv_tags").stdout.split() == [
        "volume-a",
        "x",
        "volume-b",
    ]


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ('lv_name="volume-a"', True),
        ('lv_name!="volume-a"', False),
        ('lv_role="public"', True),
        ('lv_tags={"x"}', True),
        ('lv_tags=["x"]', False),
        ('lv_tags=["y","x"]', True),
        ('lv_tags={"x","z"}', False),
        ('lv_layout=["linear"] && lv_device_open!="open" && lv_active!="unknown"', True),
        ('lv_layout=["linear"] && lv_device_open="open"', False),
        ("thin_count=0", False),
    ],
)
def test_selection(lvm: Path, selection: str, chosen: bool):
    """Each form of condition that the adapter writes chooses as in lvm2."""
    run(lvm, "lvcreate", "-y", "-n", "volume-a", "-L", "1g", "--addtag", "x", "--addtag", "y", VG)
    done = run(lvm, "lvremove", "-y", "-S", selection, f"{VG}/volume-a")
    assert done.returncode == 0
    assert (names(lvm) == []) == chosen


@pytest.mark.parametrize(
    "selection",
    ["lv_uuidx=3", "lv_name", "lv_name=", 'lv_name="a" &&', 'lv_name="a" || lv_name="b"'],
)
def test_a_selection_that_is_not_understood_chooses_nothing(lvm: Path, selection: str):
    """An error, and the volume stays."""
    run(lvm, "lvcreate", "-y", "-n", "a", "-L", "1g", VG)
    done = run(lvm, "lvremove", "-y", "-S", selection, f"{VG}/a")
    assert done.returncode == 5
    assert "Selection syntax error" in done.stderr
    assert names(lvm) == ["a"]


def test_many_at_once_lose_nothing(lvm: Path):
    """Processes at the same time wait for each other; no volume is lost and no number given
    twice.
    """
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda i: run(lvm, "lvcreate", "-y", "-n", f"v{i:02}", "-L", "64m", VG), range(24)
            )
        )
    assert names(lvm) == [f"v{i:02}" for i in range(24)]
    minors = run(lvm, "lvs", "--noheadings", "-o", "lv_kernel_minor").stdout.split()
    assert len(set(minors)) == 24


def test_vgcreate_extend_rename_remove(lvm: Path, tmp_path: Path):
    """The operator can try the everyday commands; the size of a VG is that of its files."""
    disk = tmp_path / "disk"
    disk.touch()
    os.truncate(disk, 3 * GIB + 5)
    assert run(lvm, "vgcreate", "ssd", str(disk)).returncode == 0
    for words in (
        ["lvcreate", "-y", "-n", "a", "-L1g", "ssd"],
        ["lvextend", "-L", "2g", "ssd/a"],
        ["lvrename", "ssd/a", "ssd/b"],
    ):
        assert run(lvm, *words).returncode == 0
    assert run(
        lvm, "vgs", "--noheadings", "-o", "vg_size,vg_free", "--units", "b", "ssd"
    ).stdout.split() == [
        f"{3 * GIB}B",
        f"{GIB}B",
    ]
    assert run(lvm, "lvremove", "-y", "ssd/b").returncode == 0


def test_installing_again_keeps_what_is_there(lvm: Path):
    """A restarted demo finds its volumes; a group that is there is not created again."""
    run(lvm, "lvcreate", "-y", "-n", "a", "-L", "1g", VG)
    install(lvm.parent, lvm.parent / "state.json", {VG: GIB})
    add_group(lvm.parent / "state.json", VG, GIB)
    assert names(lvm) == ["a"]


def test_it_runs_as_a_module_too(lvm: Path):
    """``python -m carina_tasks.emulator.lvm`` with the state file in its variable."""
    env = {"CARINA_TASKS_DEMO_LVM_STATE": str(lvm.parent / "state.json")}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "carina_tasks.emulator.lvm", "vgs"],
        env=env,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert VG in done.stdout, done.stderr


def test_it_starts_fast(lvm: Path):
    """It imports the standard library and itself, nothing installed and not the product: the demo
    makes hundreds of calls.
    """

    def seconds() -> float:
        started = time.perf_counter()
        run(lvm, "lvs")
        return time.perf_counter() - started

    print(f"the best of ten calls: {min(seconds() for _ in range(10)) * 1000:.0f} ms")
    lvm.write_text(lvm.read_text().replace(" -IS -c ", " -IS -X importtime -c "))
    imported = {
        line.split("|")[-1].strip().split(".")[0]
        for line in run(lvm, "lvs").stderr.splitlines()[1:]
    }
    assert "lvm" in imported
    assert imported - sys.stdlib_module_names <= {"lvm"}
