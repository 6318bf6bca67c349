"""The microscope as a library: record what a model attends to, draw it, caption it and test it."""
