"""Why an execution does not go on, and what can be done about it by hand."""
