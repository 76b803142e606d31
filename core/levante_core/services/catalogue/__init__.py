"""The catalogue: what deployments register, which workers are there, and what people say of workflows."""
