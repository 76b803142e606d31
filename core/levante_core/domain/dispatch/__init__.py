"""Dispatch: what a change of the table asks for, and the tasks that carry it."""
