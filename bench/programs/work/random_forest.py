"""scikit-learn: ``RandomForestClassifier``, its trees grown and cross-validated in parallel."""

from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from ..ways import Way, run


def main(way: Way) -> object:
    with way.joblib():
        x, y = make_classification(3000, 20, random_state=1)
        return cross_val_score(RandomForestClassifier(60, random_state=1), x, y, cv=6)


if __name__ == "__main__":
    run(main)
