"""What the demo and the tests use in place of a cluster. The product imports none of it.

``api_server``   a small Kubernetes API server in memory
``controllers``  Kubernetes' controllers, kubelets and Carina's provisioner
``lvm``          a simulated ``lvm`` executable
"""
