"""Lifters: networks, losses, the training loop and inference."""
