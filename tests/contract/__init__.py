"""The contract of the API emulator: each test runs against it and against a real kube-apiserver."""
