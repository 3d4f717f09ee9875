"""The stage triangulate: 2D detections to 3D pseudo-labels, with how far each can be trusted."""
