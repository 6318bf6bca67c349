"""The encoder of loaded models: embeddings, blocks with options, and heads, each with its exact backward pass."""
