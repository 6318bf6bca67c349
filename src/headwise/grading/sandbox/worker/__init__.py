"""The process that a submission runs in. It imports nothing of Headwise, so no reference is in its memory."""
