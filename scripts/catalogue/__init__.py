"""What the pages of the catalogue are made of: the registry, docstrings, and what is in ``results/``."""
