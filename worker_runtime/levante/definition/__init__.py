"""How classes and functions become workflows and activities, and their values JSON."""
