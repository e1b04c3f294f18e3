"""The six workloads, as in src/bench_support/workload.rs. Standard library only."""

from typing import NamedTuple


class Workload(NamedTuple):
    layers: tuple
    activation: str
    task: str  # "classes": cross-entropy; "values": mean squared error
    batch: int
    rows: int


WORKLOADS = {
    "iris": Workload((4, 4, 3), "relu", "classes", 24, 120),
    "policy": Workload((8, 64, 64, 4), "tanh", "values", 64, 16_384),
    "fashion_small": Workload((784, 128, 10), "relu", "classes", 128, 60_000),
    "tabular": Workload((54, 256, 256, 256, 7), "relu", "classes", 512, 65_536),
    "fashion_medium": Workload((784, 512, 512, 10), "relu", "classes", 256, 60_000),
    "fashion_wide": Workload((784, 2048, 2048, 10), "relu", "classes", 1024, 16_384),
}
