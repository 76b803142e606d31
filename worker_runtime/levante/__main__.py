"""`python -m levante`: the same as the command `levante`."""

from levante.cli import main

main()
