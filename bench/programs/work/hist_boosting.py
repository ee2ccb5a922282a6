"""scikit-learn: ``cross_val_score`` of histogram boosting, which has native threads."""

from sklearn.datasets import make_regression
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_score

from ..ways import Way, run


def main(way: Way) -> object:
    with way.joblib():
        x, y = make_regression(8000, 20, random_state=1)
        model = HistGradientBoostingRegressor(max_iter=40, random_state=1)
        return cross_val_score(model, x, y, cv=6)


if __name__ == "__main__":
    run(main)
