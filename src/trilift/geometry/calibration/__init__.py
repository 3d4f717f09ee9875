"""Cameras placed by the people that they see: no calibration board."""
