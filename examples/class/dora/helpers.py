import numpy as np


def softmax(s):
    e = np.exp(s - np.max(s))
    return e / e.sum(axis=0)
