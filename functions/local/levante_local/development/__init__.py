"""What `levante dev` does for whoever writes code: a worker beside the host that starts again when a file changes."""
