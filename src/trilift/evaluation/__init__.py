"""Metrics on poses and the tables made of them."""
