"""A few digits, on which training takes a moment."""

from functools import cache

from headwise.data.mnist import Digits, LabelledImages, load_bundled_mnist
from headwise.experiments.tokenizers.plan import load_digits

_digits = cache(load_bundled_mnist)


def few(folder=None, n_validation=50):
    """Two hundred training digits, 50 for validation and 30 for testing, in place of those that a command loads."""
    if folder is not None or n_validation < 0:
        return load_digits(folder) if folder else load_bundled_mnist(n_validation=n_validation)
    digits = _digits()
    sizes = ((digits.train, 200), (digits.validation, n_validation), (digits.test, 30))
    return Digits("few", *(LabelledImages(part.images[:n], part.labels[:n]) for part, n in sizes))
