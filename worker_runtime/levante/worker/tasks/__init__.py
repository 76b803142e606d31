"""Tasks: where they come from, and for how long they are leased."""
