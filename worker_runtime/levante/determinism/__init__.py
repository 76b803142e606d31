"""Keeping workflow code deterministic: calls that differ on replay are refused, and code that never waits is noticed."""
