"""What makes the tables of the READMEs of results."""
