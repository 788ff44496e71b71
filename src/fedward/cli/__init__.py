"""The `fedward` command: a thin face. Loads nothing heavy by itself."""
