"""What an lvm command line of ours may look like. Written from lvm(8) and the design, not from the product's own checks."""

from __future__ import annotations

import re
import shlex

NAME = r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}"
OURS = r"(?:volume|trash|thin)-[A-Za-z0-9][A-Za-z0-9.-]*"
UUID = r"[A-Za-z0-9]{6}(?:-[A-Za-z0-9]{4}){5}-[A-Za-z0-9]{6}"
TAG = r"carina-tasks\.(?:creating|intent|orphan|trash\.name|trash\.at|trash\.why|restored)=[A-Za-z0-9_+.\-/=!:&]*"
PATH = rf"{NAME}/{OURS}"
SAME = rf'lv_uuid="{UUID}" && vg_name="{NAME}" && lv_name="{OURS}"'
CLOSED = (
    rf'{SAME} && lv_device_open!="open" && lv_active!="unknown" && lv_role=\["public"\] && '
    rf'lv_layout=\["(?:linear|thin","sparse)"\](?: && lv_tags=\{{"{TAG}"\}})*'
)
CREATING = r"carina-tasks\.creating=[0-9a-f-]{36}"
CONFIG = r"[a-z0-9_/=\" ]+"
TAGS = rf"(?:\n--(?:add|del)tag\n{TAG})"
LINES = [
    re.compile(line)
    for line in (
        rf"lvcreate\n-y\n-W\ny\n-Z\ny\n--config\n{CONFIG}\n-n\n{OURS}\n-L\n[0-9]{{1,20}}b\n--addtag\n{CREATING}\n{NAME}",
        rf"lvextend\n-y\n-L\n[0-9]{{1,20}}b\n{PATH}",
        rf'lvchange\n-y\n-S\n(?:{SAME}(?: && lv_active="active"| && lv_tags=\{{"{CREATING}"\}})?|{CLOSED}){TAGS}+\n{PATH}',
        rf"lvchange\n-y\n-a\n[yn]\n-S\n(?:{SAME}|{CLOSED})\n{PATH}",
        rf"lvrename\n-y\n{NAME}\n{OURS}\n{OURS}",
        rf"lvremove\n-y\n-S\n(?:{CLOSED}|{SAME} && thin_count=0)\n{PATH}",
        r"end-of-command-[0-9]+",
    )
]


def check(line: str) -> None:
    """Fail unless this line of an lvm shell is one of ours, word for word."""
    assert line.isascii(), ascii(line)
    assert line.isprintable(), ascii(line)
    words = shlex.split(line, posix=True)
    # No word of a line holds a line break, so joined by them they are told apart again.
    assert any(one.fullmatch("\n".join(words)) for one in LINES), f"an lvm command that nobody wrote: {line!r}"
