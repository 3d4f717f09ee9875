"""The stage evaluate: predictions of the test frames, their errors, and tables of these."""
