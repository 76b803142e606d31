"""Commands about everything around executions: who serves them, who may use them, what is kept of them."""
