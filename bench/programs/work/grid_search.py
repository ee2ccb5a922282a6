"""scikit-learn: ``GridSearchCV`` of an ``SVC``, 20 candidates in 3 folds."""

from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from ..ways import Way, run


def main(way: Way) -> object:
    with way.joblib():
        x, y = make_classification(1000, 20, random_state=1)
        grid = {"C": [0.1, 0.3, 1, 3, 10], "gamma": [0.003, 0.01, 0.03, 0.1]}
        found = GridSearchCV(SVC(), grid, cv=3).fit(x, y)
    return [found.cv_results_["mean_test_score"], found.best_score_]


if __name__ == "__main__":
    run(main)
