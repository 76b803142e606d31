"""Endpoints of workflows, registrations and deployments."""
