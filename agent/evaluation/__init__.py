"""What can be said of scores: differences on the same tasks, and how likely chance alone explains them."""
