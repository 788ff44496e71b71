"""A Flower app whose server drops nodes that attack."""
