"""Activities of the queue: how their attempts are reported, and how often they may begin."""
