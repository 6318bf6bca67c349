"""One module a question: what to run, and what came of it."""
