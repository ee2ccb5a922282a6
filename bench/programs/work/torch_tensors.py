"""torch: tensors of 4 MB to the workers and new ones back, by ``pool.map``."""

import torch

from ..ways import WORKERS, Way, run


def normed(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor - tensor.mean()) / tensor.std()


def main(way: Way) -> object:
    torch.manual_seed(1)
    tensors = [torch.randn(1_000_000) for _ in range(16)]
    with way.pool(WORKERS) as pool:
        return [float(tensor[:1000].sum()) for tensor in pool.map(normed, tensors)]


if __name__ == "__main__":
    run(main)
