"""The stage simulate: people of a simulated studio, their motions and the 2D detector that watches them."""
