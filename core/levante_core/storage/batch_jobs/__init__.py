"""Batch jobs as items: the jobs of a workspace in one partition, and the failures of each job in one of its own."""
