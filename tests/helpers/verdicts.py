"""What verdicts have to say."""

import headwise as hw


def assert_verdict(subject, mistakes, conventions):
    """A subject has exactly these mistakes, and these conventions among others."""
    verdict = hw.check(subject)
    assert verdict.mistakes == mistakes
    assert set(conventions) <= set(verdict.conventions)
