"""The process that a submission runs in. It imports nothing of Headwise, so no reference lies in its memory."""
