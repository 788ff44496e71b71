"""SignGuard as a Flower baseline."""
