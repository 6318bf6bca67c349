"""Classes in scikit-learn's style, which make their matrices when they are fitted."""

import numpy as np


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


class Transformer:
    axis, scaled = -1, True

    def __init__(self, d_k=4, random_state=0):
        self.d_k, self.random_state = d_k, random_state

    def fit(self, X, y=None):
        rng = np.random.default_rng(self.random_state)
        self.W_q_, self.W_k_, self.W_v_ = rng.normal(size=(3, X.shape[1], self.d_k))
        return self

    def transform(self, X):
        if not hasattr(self, "W_q_"):
            raise RuntimeError("not fitted")
        Q, K, V = X @ self.W_q_, X @ self.W_k_, X @ self.W_v_
        return softmax(Q @ K.T / (self.d_k**0.5 if self.scaled else 1), self.axis) @ V

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)


class TransformerOverQueries(Transformer):
    axis = 0


class TransformerUnscaled(Transformer):
    scaled = False


class OfDictionary:
    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        rng = np.random.default_rng(self.random_state)
        self.weights_ = {name: rng.normal(size=(X.shape[1],) * 2) for name in ("W_q", "W_k", "W_v")}
        return self

    def transform(self, X):
        Q, K, V = (X @ self.weights_[name] for name in ("W_q", "W_k", "W_v"))
        return softmax(Q @ K.T / Q.shape[1] ** 0.5) @ V


class Predictor:
    """It wants targets, and has heads."""

    def __init__(self, n_heads=3):
        self.n_heads = n_heads

    def fit(self, X, y):
        rng = np.random.default_rng(len(y))
        self.Wq_, self.Wk_, self.Wv_, self.Wo_ = rng.normal(size=(4, X.shape[1], X.shape[1]))
        return self

    def predict(self, X):
        N, D = X.shape
        Q, K, V = (
            (X @ W).reshape(N, self.n_heads, -1).transpose(1, 0, 2) for W in (self.Wq_, self.Wk_, self.Wv_)
        )  # fmt: skip
        O = softmax(Q @ K.transpose(0, 2, 1) / self.width(Q, D) ** 0.5) @ V
        return O.transpose(1, 0, 2).reshape(N, D) @ self.Wo_

    def width(self, Q, D):
        return Q.shape[-1]


class PredictorOfModelWidth(Predictor):
    def width(self, Q, D):
        return D


class AtOnce:
    """Its matrices do not depend on the data, and targets are ignored."""

    def __init__(self, d_model=6):
        self.Wq, self.Wk, self.Wv = np.random.default_rng(0).normal(size=(3, d_model, d_model))

    def fit_transform(self, X, y=None):
        Q, K, V = X @ self.Wq, X @ self.Wk, X @ self.Wv
        return softmax(Q @ K.T / Q.shape[1] ** 0.5) @ V


class Never(Transformer):
    def fit(self, X, y=None):
        raise ValueError("these are no sentences")


class Scaler:
    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return X - self.mean_


class AtFirstCall:
    """Makes its matrices when it is called for the first time."""

    root = 0.5

    def __init__(self, units=6):
        self.units, self.kernels = units, {}

    def build(self, width):
        rng = np.random.default_rng(0)
        self.kernels = {name: rng.normal(size=(width, self.units)) for name in ("query", "key", "value")}

    def call(self, inputs):
        if not self.kernels:
            self.build(inputs.shape[-1])
        q, k, v = (inputs @ self.kernels[name] for name in ("query", "key", "value"))
        return softmax(q @ k.swapaxes(-1, -2) / self.units**self.root) @ v


class AtFirstCallWithoutRoot(AtFirstCall):
    root = 1
