"""JAX: whole epochs in one compiled scan, shuffling inside, buffers donated."""

import os

from common import arguments, data, report

options, workload = arguments(__doc__)
# XLA takes as many threads as it sees cores.
if options.threads < (os.cpu_count() or 1) and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from functools import partial  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import jaxlib  # noqa: E402

SMALL = max(workload.layers) < 128
# Calls cost some microseconds: of data this small a call trains many epochs.
EPOCHS_PER_CALL = max(1, 200_000 // workload.rows) if SMALL else 1
ACTIVATION = {"relu": jax.nn.relu, "tanh": jnp.tanh}[workload.activation]


def initial(key):
    params = []
    for inputs, outputs in zip(workload.layers, workload.layers[1:]):
        key, sub = jax.random.split(key)
        bound = (6 / (inputs + outputs)) ** 0.5
        weight = jax.random.uniform(sub, (inputs, outputs), minval=-bound, maxval=bound)
        params.append((weight, jnp.zeros(outputs)))
    return params


def loss(params, x, y):
    for weight, bias in params[:-1]:
        x = ACTIVATION(x @ weight + bias)
    weight, bias = params[-1]
    x = x @ weight + bias
    if workload.task == "values":
        return jnp.mean((x - y) ** 2)
    # By a mask: what an index takes has a scatter for its gradient, which was slower in pairs of runs.
    chosen = y[:, None] == jnp.arange(workload.layers[-1])
    return -jnp.mean(jnp.sum(jnp.where(chosen, jax.nn.log_softmax(x), 0.0), axis=1))


def adam(params, grads, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    t = t + 1
    size = lr / (1 - beta1**t)
    root = jax.lax.rsqrt(1 - beta2**t)
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, grads)
    v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, grads)
    params = jax.tree.map(
        lambda p, m, v: p - size * m / (jnp.sqrt(v) * root + eps), params, m, v
    )
    return params, m, v, t


def step(x, y, state, rows):
    params, m, v, t = state
    x, y = (jnp.take(array, rows, axis=0, mode="clip") for array in (x, y))
    value, grads = jax.value_and_grad(loss)(params, x, y)
    return adam(params, grads, m, v, t), value


def epoch(x, y, state, key):
    steps = workload.rows // workload.batch
    # One sort of random bits; jax.random.permutation sorts more than once.
    order = jnp.argsort(jax.random.bits(key, (workload.rows,)))
    batches = order[: steps * workload.batch].reshape(steps, workload.batch)
    unroll = 4 if SMALL else 1
    state, losses = jax.lax.scan(partial(step, x, y), state, batches, unroll=unroll)
    return state, losses.mean()


@partial(jax.jit, donate_argnums=0)
def call(state, x, y, key):
    keys = jax.random.split(key, EPOCHS_PER_CALL)
    return jax.lax.scan(partial(epoch, x, y), state, keys)


def main():
    x, y = map(jnp.asarray, data(workload))
    params = initial(jax.random.key(1))
    zeros = partial(jax.tree.map, jnp.zeros_like)
    state = (params, zeros(params), zeros(params), jnp.zeros((), jnp.float32))
    done = 0

    def epochs(count):
        nonlocal state, done
        for _ in range(count // EPOCHS_PER_CALL):
            done += 1
            state, losses = call(state, x, y, jax.random.key(done))
        losses.block_until_ready()

    versions = {"jax": jax.__version__, "jaxlib": jaxlib.__version__}
    report("jax", options, workload, versions, epochs, EPOCHS_PER_CALL)


main()
