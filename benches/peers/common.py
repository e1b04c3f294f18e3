"""What the peers share: arguments, made-up data, and the clock."""

import argparse
import json
import os
import platform
import statistics
import time

from workloads import WORKLOADS


def arguments(description, variants=("default",)):
    """Reads the command line; sets the thread counts that libraries read when they are loaded."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--variant", choices=variants, default=variants[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to measure")
    options = parser.parse_args()
    for name in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{name}_NUM_THREADS"] = str(options.threads)
    return options, WORKLOADS[options.workload]


def data(workload):
    """Makes up features and targets in float32; labels in int32."""
    import numpy

    random = numpy.random.default_rng(1)
    inputs, outputs = workload.layers[0], workload.layers[-1]
    x = random.standard_normal((workload.rows, inputs), dtype=numpy.float32)
    if workload.task == "values":
        return x, random.standard_normal((workload.rows, outputs), dtype=numpy.float32)
    labels = numpy.arange(workload.rows) % outputs
    centres = random.standard_normal((outputs, inputs), dtype=numpy.float32)
    x += centres[labels] * (4 / (2 * inputs) ** 0.5)
    return x, labels.astype(numpy.int32)


def report(peer, options, workload, versions, epochs, epochs_per_call=1):
    """Calls `epochs(n)`, which trains and waits for the end, first to warm up, then for the time
    asked for, and prints one JSON line. Only whole batches count as rows."""
    epochs(epochs_per_call)  # compiles, fills caches
    calls = 1
    while True:  # how long a call takes once all is warm
        start = time.perf_counter()
        epochs(epochs_per_call * calls)
        seconds = time.perf_counter() - start
        if seconds > 0.05 or seconds > options.seconds / 4:
            break
        calls *= 2
    # The median over runs this long, as unisono's program takes it.
    rates, runs = [], max(1, round(options.seconds / seconds))
    rows = workload.rows // workload.batch * workload.batch
    for _ in range(runs):
        start = time.perf_counter()
        epochs(epochs_per_call * calls)
        rates.append(rows * epochs_per_call * calls / (time.perf_counter() - start))
    rate = statistics.median(rates)
    print(
        json.dumps(
            {
                "program": peer,
                "variant": options.variant,
                "workload": options.workload,
                "rows_per_s": rate,
                "epoch_s": rows / rate,
                "epochs": epochs_per_call * calls * runs,
                "threads": options.threads,
                "versions": {"python": platform.python_version(), **versions},
            }
        ),
        flush=True,
    )
