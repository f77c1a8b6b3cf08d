"""The main job on real parts: control plane, KWOK kubelets, Redis, and user-mode-linux nodes with
lvm2.
"""
