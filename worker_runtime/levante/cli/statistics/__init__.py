"""Commands about what happens in numbers."""
