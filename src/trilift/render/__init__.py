"""Videos with what was detected, triangulated and predicted drawn over their frames: ``trilift render``."""
