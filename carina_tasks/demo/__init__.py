"""The embedded default: everything a demonstration needs beside the product itself.

``acts``           the three acts of the demo
``children``       child processes, each with a log file
``compose_world``  ``python -m carina_tasks.demo.compose_world``
``manifests``      the objects of the demo as raw JSON, with the fields that Carina v0.14 writes
``nodes``          simulated nodes: lvm, worker and kubelet
``play``           the demo from beginning to end: stage, three acts, summary
``show``           what the demo prints: headings, commands, tables, progress, and the promises
``stage``          what runs in the embedded default, and how it is started and ended
``world``          the cluster's objects, made through the API server
"""
