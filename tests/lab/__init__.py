"""The test laboratory: real parts for `tests/system`.

===================  ===========================================================================
`parts`              what this machine has, what a tier needs, `require(part)` for tests
`paths`              where binaries, the guests' virtual environment and a lab's own files lie
`processes`          child processes that end with the test run, each with its log file
`control_plane`      etcd, kube-apiserver, kube-controller-manager, kube-scheduler on loopback
`kube`               a small raw-JSON client for the lab's own use (the product has its own)
`kwok`               one KWOK kubelet for each node: silence and resume it
`kubelet`            runs the pods of the chart's namespace as their manifests say
`network`            a network namespace with a bridge, taps, and a link to the host
`redis`              a real redis-server with ACLs
`uml`                nodes with a kernel of their own: real lvm2, crash, cut, freeze
`provisioner`        a stand-in for Carina's CSI provisioner
`world`              the objects of a Carina cluster: nodes, classes, claims, volumes, pods
`lab`                all of it put together; the session fixture `lab` is one of these
===================  ===========================================================================

`install.sh` gets the parts on Debian 12; `python -m tests.lab.parts` reports what is lacking.
"""
