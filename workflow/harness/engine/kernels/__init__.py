"""Kernels: faster computations of the same mathematics. ``speed_up`` installs those that fit a network."""
