"""The rules of durable execution: domain, ports, services. No AWS, no HTTP."""
