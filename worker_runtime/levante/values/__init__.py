"""How values cross a boundary: what is written of them, what is read back, and what would be lost."""
