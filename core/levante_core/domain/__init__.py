"""Rules as pure functions and frozen types: no clock, no network, no randomness, no environment."""
