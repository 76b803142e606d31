"""Who may do what: authentication, keys and their endpoints."""
