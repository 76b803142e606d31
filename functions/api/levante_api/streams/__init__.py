"""Endpoints of stream events, and the way to the program that streams them."""
