"""Running workflow code from recorded inputs: a pure function of the history, live and on replay alike."""
