"""The stage sweep: the runs of a sweep side by side."""
