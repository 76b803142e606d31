"""Adapters that more than one program needs."""
