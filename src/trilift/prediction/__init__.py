"""A trained lifter put to use: the keypoints of one camera in, 3D poses out."""
