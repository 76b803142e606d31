"""What operators of the one-machine host need beside it: backups and metrics."""
