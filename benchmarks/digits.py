"""Compare the estimators' defaults with logistic regression on scikit-learn's digits: ``python benchmarks/digits.py``.

Ten stratified folds, so that each model predicts every digit once. A row has both accuracies, the mean difference of a
fold with its 95% t interval, how many digits only one of them classifies correctly, McNemar's exact test of these, and
the seconds that fitting all digits takes.
"""

import argparse
import json
from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headwise.estimators import TransformerClassifier
from headwise.experiments.statistics import sign_flip_test, t_interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=("images", "table"), default=("images", "table"))
    parser.add_argument("--time-only", action="store_true", help="fit all digits, without the folds")
    arguments = parser.parse_args()
    digits = load_digits()
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    for kind in arguments.kinds:
        X = digits.images if kind == "images" else digits.data
        model = TransformerClassifier(kind, n_jobs=2, random_state=0)
        start = perf_counter()
        model.fit(X, digits.target)
        row = {"kind": kind, "seconds": round(perf_counter() - start, 1)}
        if not arguments.time_only:
            ours = cross_val_predict(model, X, digits.target, cv=folds) == digits.target
            theirs = cross_val_predict(linear, digits.data, digits.target, cv=folds) == digits.target
            differences = ours.astype(int) - theirs
            means = [differences[test].mean() for _, test in folds.split(X, digits.target)]
            interval = t_interval(means)
            row |= {
                "accuracy": round(ours.mean(), 4),
                "logistic regression": round(theirs.mean(), 4),
                "difference": [round(x, 4) for x in (interval.mean, interval.low, interval.high)],
                "only ours, only theirs": [int((differences == x).sum()) for x in (1, -1)],
                "p": float(np.round(sign_flip_test([int(x) for x in differences if x]), 3)),
            }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
