"""The history of a run: its events, what they add up to, and the state machines that they follow."""
