"""scikit-learn: ``OneVsRestClassifier`` of logistic regressions."""

from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from ..ways import Way, run


def main(way: Way) -> object:
    with way.joblib():
        x, y = make_classification(6000, 60, n_informative=20, n_classes=10, random_state=1)
        model = OneVsRestClassifier(LogisticRegression(max_iter=300)).fit(x, y)
    return model.predict(x[:1000])


if __name__ == "__main__":
    run(main)
