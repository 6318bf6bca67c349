"""The verdict: what was found, measured and not tested, in words, with an example and the lines of the source."""
