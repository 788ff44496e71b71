"""Whatever has a name: by text, by table or by import path."""
