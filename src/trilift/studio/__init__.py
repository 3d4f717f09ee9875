"""The simulated studio: people, their motions and the 2D detector that watches them."""
