"""Endpoints of workers, and of work that has to be sent again or was parked."""
