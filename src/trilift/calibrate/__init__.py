"""calibrate: where the cameras are, told by the people whom they see."""
