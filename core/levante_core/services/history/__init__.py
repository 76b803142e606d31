"""Histories: appended to by commits, loaded by workers, shown to people."""
