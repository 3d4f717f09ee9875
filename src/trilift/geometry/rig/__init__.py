"""What is wrong with a rig, told from detections alone: cameras out of time, moved, or of another focal length."""
