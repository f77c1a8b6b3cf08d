"""``python -m tests.lab.record_reports``: record what each tested lvm2 reports, as
`tests/unit/lvm_reports/VERSION/NAME.json`.

It boots one node, brings its disks into each situation that `carina_tasks.lvm.report` must read,
and asks every lvm2 for the product's own report. Run it as root, on a machine with the lab, when
`report.FULLREPORT` changes or another lvm2 is added.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from carina_tasks.lvm.command import _argv
from carina_tasks.lvm.report import FULLREPORT
from tests.lab import paths, slot
from tests.lab.processes import adopt_orphans
from tests.lab.uml import software
from tests.lab.uml.node import NodeConfig, UmlNode

GIB = 1 << 30
FOLDER = Path(__file__).parents[1] / "unit" / "lvm_reports"
VG = "carina-vg-hdd"
INTENT = "carina-tasks.intent=9b2cbb3d-88f0-4b0c-a3ca-0c2b0d3f1f6b"
MODULES = "dm-mirror dm-raid raid1 dm-cache dm-cache-smq dm-snapshot"

EXOTIC = f"""
lvcreate -y -n volume-pvc-a -L 1g --addtag {INTENT} {VG}
lvcreate -y -n volume-pvc-b -L 1g --addtag {INTENT} --addtag carina-tasks.orphan=1700000000 {VG}
lvcreate -y -n volume-pvc-c -L 1g --addtag {INTENT} {VG}
lvcreate -y -n readonly -L 64m -p r {VG}
lvcreate -y -n stripes -i 2 -L 64m {VG}
lvcreate -y -n volume-pvc-origin -L 64m {VG}
lvcreate -y -s -n snap -L 128m {VG}/volume-pvc-origin
lvcreate -y --type raid1 -m 1 -n volume-pvc-raid -L 64m {VG}
lvcreate -y -n volume-pvc-cached -L 64m {VG}
lvcreate -y --type cache-pool -n cpool -L 16m {VG}
lvconvert -y --type cache --cachepool {VG}/cpool {VG}/volume-pvc-cached
lvcreate -y --type thin-pool -n thin-pvc-t1 -L 1g {VG}
lvcreate -y -n volume-pvc-t1 -V 1g --thinpool thin-pvc-t1 {VG}
lvcreate -y --type thin-pool -n thin-pvc-t2 -L 1g {VG}
lvcreate -y -n volume-pvc-t2 -V 1g --thinpool thin-pvc-t2 {VG}
lvcreate -y -n volume-pvc-t3 -V 1g --thinpool thin-pvc-t2 {VG}
lvcreate -y -s -n tsnap {VG}/volume-pvc-t3
lvcreate -y -n volume-pvc-off -L 1g {VG}
lvchange -y -a n {VG}/volume-pvc-off
lvcreate -y -n volume-pvc-open -L 1g {VG}
mkfs.ext4 -q /dev/{VG}/volume-pvc-open
mkdir -p /mnt/open
mount /dev/{VG}/volume-pvc-open /mnt/open
"""
CLEAR = f"""
umount -q /mnt/open
lvremove -f -y {VG}
"""
BUSY = f"""
lvcreate -y -n volume-pvc-moved -L 6g {VG} /dev/ubda
lvcreate -y -n volume-pvc-closed -L 64m {VG} /dev/ubda
lvcreate -y -n volume-pvc-still -L 64m {VG} /dev/ubdb
lvcreate -y -n volume-pvc-frozen -L 64m {VG} /dev/ubdb
lvcreate -y -n volume-pvc-merging -L 64m {VG} /dev/ubdb
lvcreate -y -s -n snap -L 64m {VG}/volume-pvc-merging
mkfs.ext4 -q /dev/{VG}/volume-pvc-merging
mkdir -p /mnt/merging
mount /dev/{VG}/volume-pvc-merging /mnt/merging
lvconvert -y --merge {VG}/snap
dmsetup suspend carina--vg--hdd-volume--pvc--frozen
pvmove -i 600 -n volume-pvc-moved /dev/ubda /dev/ubdb > /dev/null 2>&1 &
sleep 3
"""
CALM = f"""
pkill pvmove
pkill lvm
pvmove --abort
dmsetup resume carina--vg--hdd-volume--pvc--frozen
umount -q /mnt/merging
lvchange -a n {VG}/volume-pvc-merging
lvchange -a y {VG}/volume-pvc-merging
sleep 2
lvremove -f -y {VG}
"""
DAMAGED = """
lvcreate -y -n volume-pvc-a -L 64m carina-vg-hdd
for at in 4608 5120 5632 6144 6656 7168 7680 8192; do
  printf 'XXXXXXXXXXXX' | dd of=/dev/ubdc bs=1 seek=$((at+100)) conv=notrunc 2>/dev/null
done
"""


def main() -> None:
    """Record every situation with every lvm2."""
    adopt_orphans()
    place = slot.take()
    shutil.rmtree(place.folder / "guest", ignore_errors=True)
    guest = software.copy_guest(place.folder / "guest")
    place.network.up()
    groups = {VG: (24 * GIB, 24 * GIB), "system-vg": (4 * GIB,)}
    node = UmlNode(
        NodeConfig("recorder", 0, groups),
        place.folder / "nodes" / "recorder",
        paths.shared(),
        place.network,
        place.uid,
        guest,
    )
    try:
        node.boot()
        _record_all(Recorder(node, guest))
    finally:
        node.crash()
        place.network.down()


class Recorder:
    """A node, and the lvm2 versions that can be asked in it."""

    def __init__(self, node: UmlNode, guest: Path) -> None:
        self.node = node
        self.lvms = {"host": ["lvm"], "trixie": [str(guest / "lvm-of.sh"), str(paths.other_lvm())]}
        self.versions = {name: self._version(argv) for name, argv in self.lvms.items()}

    def do(self, script: str) -> None:
        """Run a script in the node; what fails is printed."""
        done = self.node.run("sh", "-c", script, check=False)
        lines = [
            line for line in done.stderr.splitlines() if "WARNING" not in line and line.strip()
        ]
        print("\n".join(lines))

    def record(self, name: str, config: str = "") -> None:
        """Write what each lvm2 reports now; `config` is added to lvm.conf for it."""
        self.do(
            f"cp /etc/lvm/lvm.conf /tmp/lvm.conf; cat >> /etc/lvm/lvm.conf <<'END'\n{config}\nEND"
        )
        for which, argv in self.lvms.items():
            done = self.node.run(*argv, *_argv("fullreport", FULLREPORT), check=False)
            folder = FOLDER / self.versions[which]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.json").write_text(done.stdout)
            print(self.versions[which], name, done.returncode)
        self.do("cp /tmp/lvm.conf /etc/lvm/lvm.conf")

    def _version(self, argv: list[str]) -> str:
        words = self.node.run(*argv, "version").stdout.split()
        return words[words.index("version:") + 1].partition("(")[0]


def _record_all(at: Recorder) -> None:
    at.do(
        "mkdir -p /tmp/m/lib/modules; ln -sfn /usr/lib/uml/modules/$(uname -r) "
        f"/tmp/m/lib/modules/$(uname -r);for one in {MODULES}; do modprobe -d /tmp/m $one; done; "
        f"lvremove -f -y {VG} 2>/dev/null"
    )
    two = 'devices {{ filter=["a|^/dev/ubd[{}]$|","r|.*|"] }}'
    at.record("bare", two.format("ab"))
    at.record("empty", two.format("z"))
    at.do(EXOTIC)
    at.record("exotic", two.format("ab"))
    at.record("partial", two.format("b"))
    at.record("no_device_mapper", f"{two.format('ab')}\nglobal {{ activation=0 }}")
    at.do(f"umount /mnt/open; vgchange -a n {VG}; vgexport {VG}")
    at.record("exported", two.format("ab"))
    at.do(f"vgimport {VG}; vgchange -a y {VG}{CLEAR}")
    at.do(BUSY)
    at.record("at_work", two.format("ab"))
    at.do(CALM)
    at.do(f"pvchange -x n /dev/ubdb; lvcreate -y -n volume-pvc-a -L 64m {VG}")
    at.record("not_allocatable", two.format("ab"))
    at.do(f"pvchange -x y /dev/ubdb{CLEAR}")
    at.do("vgremove -f -y system-vg")
    at.record("orphan_pv", two.format("c"))
    at.do(
        "vgcreate system-vg /dev/ubdc; lvcreate -y -n volume-pvc-lost -L 64m system-vg; lvchange "
        "-a n system-vg"
    )
    at.do(DAMAGED)
    at.record("damaged")
    at.do(CLEAR)
    at.do(
        "wipefs -qa /dev/ubdc; dd if=/dev/zero of=/dev/ubdc bs=1M count=2 2>/dev/null; vgcreate "
        f'{VG} /dev/ubdc --config \'devices {{ filter=["a|^/dev/ubdc$|","r|.*|"] }}\''
    )
    at.do(
        f"lvcreate -y -n volume-pvc-a -L 64m {VG} --config 'devices {{ "
        f'filter=["a|^/dev/ubd[ab]$|","r|.*|"] }}\''
    )
    at.do(
        f"lvcreate -a n -Z n -y -n volume-pvc-a -L 64m {VG} --config 'devices {{ "
        f'filter=["a|^/dev/ubdc$|","r|.*|"] }}\''
    )
    at.record("duplicate")


if __name__ == "__main__":
    main()
