"""The catalogue: builds of deployments, where executions go, and what input schemas may be."""
