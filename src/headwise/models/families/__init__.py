"""Model families: one module each, with the names of its tensors and the options of its configuration."""
