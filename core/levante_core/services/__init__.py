"""What the programs do, in terms of the ports: read, decide with the domain, write conditionally, report."""
