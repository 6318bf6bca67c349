"""What is measured on a function itself: which keys count, with what weights, and how positions and norms act."""
