"""Schedules: what they say, which times that means, and what happens at each of them. Pure: no clock and no store."""
