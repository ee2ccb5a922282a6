"""deap: ``eaSimple`` with ``toolbox.register("map", pool.map)``, from its page on multiprocessing."""

import random

import numpy as np
from deap import algorithms, base, creator, tools

from ..ways import WORKERS, Way, run

creator.create("FitnessMax", base.Fitness, weights=(1.0,))
creator.create("Individual", list, fitness=creator.FitnessMax)


def evaluate(individual: list[int]) -> tuple[float]:
    bits = np.array(individual, dtype=float)
    return (float(bits.sum() - 0.1 * np.abs(np.fft.fft(bits)).mean()),)


def main(way: Way) -> object:
    random.seed(1)
    toolbox = base.Toolbox()
    toolbox.register("bit", random.randint, 0, 1)
    toolbox.register("individual", tools.initRepeat, creator.Individual, toolbox.bit, 100)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", evaluate)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
    toolbox.register("select", tools.selTournament, tournsize=3)
    with way.pool(WORKERS) as pool:
        toolbox.register("map", pool.map)
        population, _ = algorithms.eaSimple(
            toolbox.population(n=300), toolbox, 0.5, 0.2, 25, verbose=False
        )
    return sorted(each.fitness.values[0] for each in population)


if __name__ == "__main__":
    run(main)
