"""Streams of events: made of histories, published by activities and by programs outside, read as they grow."""
