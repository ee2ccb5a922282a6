"""scikit-learn: ``BaggingClassifier`` of trees: fit and ``predict_proba``."""

from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.tree import DecisionTreeClassifier

from ..ways import Way, run


def main(way: Way) -> object:
    with way.joblib():
        x, y = make_classification(8000, 20, random_state=1)
        model = BaggingClassifier(DecisionTreeClassifier(), 40, random_state=1).fit(x, y)
        return model.predict_proba(x[:500])


if __name__ == "__main__":
    run(main)
