"""Cameras, triangulation, pairs of views and faults of rigs: pure functions of tensors or arrays."""
