"""Training: recipe, augmentation, optimiser, loop, checkpoints."""
