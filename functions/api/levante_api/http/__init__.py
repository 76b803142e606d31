"""What all endpoints share: routes, errors, pages and the log of requests."""
