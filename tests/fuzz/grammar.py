"""What an lvm command line of ours may look like. Written from lvm(8) and the design, not from the
product's own checks.
"""

from __future__ import annotations

import re
import shlex

NAME = r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}"
OURS = r"(?:volume|trash|thin)-[A-Za-z0-9][A-Za-z0-9.-]*"
UUID = r"[A-Za-z0-9]{6}(?:-[A-Za-z0-9]{4}){5}-[A-Za-z0-9]{6}"
TAG = (
    r"carina-tasks\.(?:creating|intent|orphan|trash\.name|trash\.at|trash\.why|restored)="
    r"[A-Za-z0-9_+.\-/=!:&]*"
)
PATH = rf"{NAME}/{OURS}"
IDENTITY = rf'lv_uuid="{UUID}" && vg_name="{NAME}" && lv_name="{OURS}"'
# Nothing that pvmove has locked, that is suspended, merging, converting or partial: lvs(8),
# lv_attr.
SAME = rf"{IDENTITY} && " + re.escape('lv_attr=~"^[-V][-wrR][a-z][-m][-aX][-oX][-tX][-zX][-X]"')
POOL = rf"{IDENTITY} && " + re.escape(
    'lv_attr=~"^t[-wrR][a-z][-m][-aX][-oX][-tX][-zX][-X]" && thin_count=0'
)
CLOSED = (
    rf'{SAME} && lv_device_open!="open" && lv_active!="unknown" && lv_role=\["public"\] && '
    rf'lv_layout=\["(?:linear|thin","sparse)"\](?: && lv_tags=\{{"{TAG}"\}})*'
)
CREATING = r"carina-tasks\.creating=[0-9a-f-]{36}"
PINNED = re.escape(
    '\n--config\nlog/prefix="" log/command_names=0 log/verbose=0 log/silent=0 log/indent=0'
).replace("\\\n", r"\n")
WIPING = " allocation/use_blkid_wiping=1"
TAGS = rf"(?:\n--(?:add|del)tag\n{TAG})"
LINES = [
    re.compile(line)
    for line in (
        rf"lvcreate{PINNED}{WIPING}\n-y\n-W\ny\n-Z\ny\n-n\n{OURS}\n-L\n[0-9]{{1,20}}b\n--addtag\n{CREATING}\n{NAME}",
        rf"lvextend{PINNED}\n-y\n-L\n[0-9]{{1,20}}b\n{PATH}",
        rf'lvchange{PINNED}\n-y\n-S\n(?:{SAME}(?: && lv_active="active"| && '
        rf'lv_tags=\{{"{CREATING}"\}})?|{CLOSED}){TAGS}+\n{PATH}',
        rf"lvchange{PINNED}\n-y\n-a\n[yn]\n-S\n(?:{SAME}|{CLOSED})\n{PATH}",
        rf"lvrename{PINNED}\n-y\n{NAME}\n{OURS}\n{OURS}",
        rf"lvremove{PINNED}\n-y\n-S\n(?:{CLOSED}|{POOL})\n{PATH}",
        r"end-of-command-[0-9]+",
    )
]


def check(line: str) -> None:
    """Fail unless this line of an lvm shell is one of ours, word for word."""
    assert line.isascii(), ascii(line)
    assert line.isprintable(), ascii(line)
    words = shlex.split(line, posix=True)
    # No word of a line holds a line break, so joined by them they are told apart again.
    assert any(one.fullmatch("\n".join(words)) for one in LINES), (
        f"an lvm command outside the grammar: {line!r}"
    )
