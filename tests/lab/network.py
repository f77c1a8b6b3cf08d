"""A network namespace with a bridge for the nodes, and a link by which the host reaches it.

Lab number N has the subnet 10.99.N.0/24: the bridge (where the broker listens) is .1, the nodes are
.11 and up, and .252/31 is a link of its own between host and namespace. It is not on the bridge: a
node reaches the broker and its fellow nodes, never the host. Deleting the namespace deletes
everything in it, the link's host end too.
"""

import subprocess
from pathlib import Path

from tests.lab.errors import LabError

BRIDGE = "br0"
BRIDGE_MAC = "02:00:00:00:98:01"
"""Fixed: a bridge without one of its own takes the lowest of its ports', and with a port that comes
or goes it would be gone for those that know the old one, for as long as ARP keeps it.
"""


class LabNetwork:
    """The network of one lab."""

    def __init__(self, number: int) -> None:
        self.namespace = f"carina-lab-{number}"
        self.prefix = f"10.99.{number}"
        self.bridge_address = f"{self.prefix}.1"
        self.host_link_address = f"{self.prefix}.252"
        self.link_address = f"{self.prefix}.253"
        self._link = f"carina-lab-{number}"

    def up(self) -> None:
        """Make the namespace, the bridge and the link to the host; raises LabError when the system
        refuses.
        """
        _ip("netns", "add", self.namespace)
        self._inside("link", "set", "lo", "up")
        self._inside("link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge")
        self._inside("addr", "add", f"{self.bridge_address}/24", "dev", BRIDGE)
        self._inside("link", "set", BRIDGE, "up")
        _ip(
            "link",
            "add",
            self._link,
            "type",
            "veth",
            "peer",
            "name",
            "host",
            "netns",
            self.namespace,
        )
        _ip("addr", "add", f"{self.host_link_address}/31", "dev", self._link)
        _ip("link", "set", self._link, "up")
        self._inside("addr", "add", f"{self.link_address}/31", "dev", "host")
        self._inside("link", "set", "host", "up")
        # Sentinel names one address of a master, for nodes and host alike: the bridge's.
        _ip("route", "add", f"{self.bridge_address}/32", "via", self.link_address)

    def down(self) -> None:
        """Delete the namespace and all that is in it; one that is not there is no error."""
        # The kernel empties a deleted namespace when it finds the time; until then the link's name
        # would be taken.
        if Path("/sys/class/net", self._link).exists():
            _ip("link", "del", self._link)
        if Path("/run/netns", self.namespace).exists():
            _ip("netns", "del", self.namespace)
        # Those of pods.
        for one in Path("/run/netns").glob(f"{self.namespace}-*"):
            _ip("netns", "del", one.name)

    def prefix_command(self) -> list[str]:
        """Return the words before a command that shall run inside the namespace."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}"]

    def node_address(self, index: int) -> str:
        """Return the address of node number `index`, which counts from 0."""
        return f"{self.prefix}.{11 + index}"

    def add_tap(self, name: str, uid: int) -> None:
        """Make a tap on the bridge that user `uid` may open; nothing happens when it is there."""
        if any(line.startswith(f"{name}:") for line in self._inside("tuntap", "show").splitlines()):
            return
        self._inside("tuntap", "add", "dev", name, "mode", "tap", "user", str(uid))
        self.heal(name)
        self._inside("link", "set", name, "up")

    def cut(self, tap: str) -> None:
        """Take a tap off the bridge: the cable is out at the switch, the node's own link stays up.

        Setting the tap down instead would kill the guest's interface until it is set up again
        inside.
        """
        self._inside("link", "set", tap, "nomaster")

    def heal(self, tap: str) -> None:
        """Put a tap on the bridge."""
        self._inside("link", "set", tap, "master", BRIDGE)

    def _inside(self, *arguments: str) -> str:
        return _ip("-n", self.namespace, *arguments)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
