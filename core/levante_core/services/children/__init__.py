"""Children: started, signalled, asked to end, left behind; and parents that hear how they ended."""
