"""How large may be what comes from outside, so that all which is made of it can be kept."""

LONGEST_SECONDS = 50 * 366 * 86_400
"""The longest of durations that are counted from some time on: the sum is a time still."""

MOST_PLACES = 10**8 - 1
"""What keys have room for. A history is continued long before it has so many of anything."""

MAX_BODY_BYTES = 6 * 1024 * 1024
"""What a Lambda function takes. Source: Lambda quotas (read 2026-11-23)."""
