"""What newcomers get wrong: found where it happens, and said with the line and the fix."""
