"""Streams of events: made of histories, told by activities and outsiders, read as they grow."""
