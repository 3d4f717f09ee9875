"""The stage detect: videos to detections, by detectors that each run in an environment of their own."""
