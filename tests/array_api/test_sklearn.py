"""scikit-learn's estimators and metrics on tensors with `array_api_dispatch=True`: tensors come out, equal to what NumPy
arrays give. In a process of its own: SciPy's switch must be on before it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("sklearn", minversion="1.6")

#: Estimator -> what it is fitted on: X alone, X and classes c, X and numbers t; and the method that is compared.
ESTIMATORS = """
preprocessing.StandardScaler() X transform
preprocessing.MinMaxScaler() X transform
preprocessing.MaxAbsScaler() X transform
preprocessing.Normalizer() X transform
preprocessing.Binarizer() X transform
preprocessing.PolynomialFeatures() X transform
preprocessing.LabelEncoder() c transform
decomposition.PCA(3,svd_solver='full') X transform
decomposition.PCA(3,svd_solver='covariance_eigh') X transform
decomposition.PCA(3,svd_solver='full',whiten=True) X inverse
linear_model.Ridge(solver='svd') Xt predict
linear_model.RidgeCV() Xt predict
linear_model.RidgeClassifier(solver='svd') Xc predict
discriminant_analysis.LinearDiscriminantAnalysis() Xc predict_proba
naive_bayes.GaussianNB() Xc predict_proba
linear_model.LogisticRegression() Xc predict_proba
mixture.GaussianMixture(2,init_params='random',random_state=0) X predict
"""
METRICS = """
accuracy_score(c, d)
balanced_accuracy_score(c, d)
confusion_matrix(c, d)
f1_score(c, d)
precision_score(c, d)
recall_score(c, d)
log_loss(c, u)
brier_score_loss(c, u)
mean_squared_error(t, t + u)
mean_absolute_error(t, t + u)
r2_score(t, t + u)
max_error(t, t + u)
median_absolute_error(t, t + u)
mean_tweedie_deviance(t, t + u)
pairwise.cosine_similarity(X, X)
pairwise.linear_kernel(X, X)
pairwise.rbf_kernel(X, X)
pairwise.paired_cosine_distances(X, X)
pairwise.additive_chi2_kernel(abs(X), abs(X))
calinski_harabasz_score(X, c)
"""

SCRIPT = """
import json, sys, warnings
import numpy as np
import sklearn
from sklearn import (datasets, decomposition, discriminant_analysis, linear_model, metrics, mixture, naive_bayes,
                     preprocessing)
import taeda

warnings.simplefilter("ignore")
X, c = datasets.make_classification(120, 8, random_state=0)
rng = np.random.default_rng(0)
DATA = dict(X=X, c=c, d=np.where(rng.random(120) < 0.2, 1 - c, c), t=X @ rng.random(8), u=rng.random(120))

def fitted(text, data):
    make, given, method = text.split(" ")
    estimator = eval(make).fit(*(data[k] for k in given))
    first = data[given[0]]
    if method == "inverse":
        return estimator.inverse_transform(estimator.transform(first))
    return getattr(estimator, method)(first)

def measured(text, data):
    return eval(text, {**vars(metrics), **data})

for text in json.loads(sys.argv[1]):
    run = measured if text.endswith(")") else fitted
    try:
        want = run(text, DATA)
        with sklearn.config_context(array_api_dispatch=True):
            got = run(text, {k: taeda.tensor(v) for k, v in DATA.items()})
        assert isinstance(got, taeda.Tensor) == isinstance(want, np.ndarray), type(got)
        got = got.detach().numpy() if isinstance(got, taeda.Tensor) else got
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        print(json.dumps([text, ""]))
    except Exception as e:
        print(json.dumps([text, f"{type(e).__name__}: {e}"]))
"""


@pytest.mark.parametrize("calls", [ESTIMATORS, METRICS], ids=["estimators", "metrics"])
def test_dispatch(calls):
    calls = calls.strip().splitlines()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(calls)],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = dict(map(json.loads, done.stdout.splitlines()))
    assert [*found] == calls
    assert {call: error for call, error in found.items() if error} == {}


def test_without_dispatch_tensors_are_arrays():
    import numpy as np
    from sklearn.linear_model import LinearRegression

    import taeda

    x = taeda.randn(30, 3)
    y = x @ taeda.tensor([1.0, 2.0, 3.0])
    model = LinearRegression().fit(x, y)
    np.testing.assert_allclose(model.coef_, [1, 2, 3], rtol=1e-5)
    assert isinstance(model.predict(x), np.ndarray)
