"""Cameras, triangulation and alignment: pure functions on tensors, batched over frames, views and keypoints."""
