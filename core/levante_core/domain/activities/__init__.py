"""Activities: how one is to be run, and whether a failed attempt is followed by another one."""
