"""A simulated ``lvm`` executable.

The embedded default runs it under the same adapter, with the same command lines.

``program``    the subcommands and lvm's own shell; exit codes and words of lvm2 2.03.16
``options``    its command line
``selection``  the part of ``-S`` that the adapter uses
``rows``       reports: fullreport, lvs, vgs; JSON and plain
``state``      volume groups and volumes in one JSON file, behind a file lock
``install``    make an executable for a node, add volume groups, open and close volumes

Only the standard library, and little of it: it is started for every lvm call (about 30 ms).
"""
