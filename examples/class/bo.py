# bo, group 4
import numpy as np

def softmax(x):
    x = x - np.max(x, axis=-1, keepdims=True)
    return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)

def self_attention(X, Wq, Wk, Wv):
    q = np.dot(X, Wq.T)
    k = np.dot(X, Wk.T)
    v = np.dot(X, Wv.T)
    scores = np.dot(q, k.T)
    return np.dot(softmax(scores), v)

def multi_head_attention(X, Wq, Wk, Wv, Wo, heads):
    n, D = X.shape
    q = (X @ Wq.T).reshape(n, heads, -1).transpose(1, 0, 2)
    k = (X @ Wk.T).reshape(n, heads, -1).transpose(1, 0, 2)
    v = (X @ Wv.T).reshape(n, heads, -1).transpose(1, 0, 2)
    scores = q @ k.transpose(0, 2, 1)
    out = softmax(scores) @ v
    return out.transpose(1, 0, 2).reshape(n, -1) @ Wo.T

# try it
X = np.load("X.npy")
print(self_attention(X, np.eye(4), np.eye(4), np.eye(4)))
