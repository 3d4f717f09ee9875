"""What is trained: networks, their inputs, the lifter and its files, where a pose is placed.

Imports `geometry`, `project` and skeletons.
"""
