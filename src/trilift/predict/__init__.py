"""The command predict: the keypoints of one camera in, 3D poses out, with a trained lifter."""
