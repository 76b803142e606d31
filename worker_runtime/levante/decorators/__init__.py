"""Decorators that make classes workflows and methods their handlers."""
