"""Nodes with a kernel of their own, by user-mode-linux, for real lvm2 on a real device mapper.

==============  ================================================================================
`node`          one node: boot, crash, reboot, cut, freeze, and commands inside it
`channel`       the host's end of the serial line by which the lab runs commands in a node
`software`      the nodes' virtual environment and copy of the sources
`guest/`        what runs inside: `init.sh` (PID 1) and `agent.py` (set-up, services)
==============  ================================================================================
"""
