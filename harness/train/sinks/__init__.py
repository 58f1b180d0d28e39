"""Where figures go besides a run's folder; harness/train/tracker.py feeds them."""
