"""scikit-learn: ``permutation_importance`` of a forest."""

from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from ..ways import Way, run


def main(way: Way) -> object:
    with way.joblib():
        x, y = make_regression(2000, 20, random_state=1)
        model = RandomForestRegressor(20, n_jobs=1, random_state=1).fit(x, y)
        found = permutation_importance(model, x, y, n_repeats=5, random_state=1)
    return found.importances_mean


if __name__ == "__main__":
    run(main)
