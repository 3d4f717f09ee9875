"""The stage train: samples, losses and the loop that fits a lifter to them."""
