"""PyTorch: fused Adam, batches gathered by index_select into a buffer that stays.

Variants: eager; compile (forward, loss and backward by torch.compile); bfloat16 (eager, products
rounded to bfloat16 by autocast: another, coarser arithmetic).
"""

from common import arguments, data, report

options, workload = arguments(__doc__, ("eager", "compile", "bfloat16"))

import torch  # noqa: E402  the thread counts had to be set first
from torch import nn  # noqa: E402

torch.set_num_threads(options.threads)
torch.set_num_interop_threads(1)
torch.set_flush_denormal(True)
torch.manual_seed(1)


def build():
    activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[workload.activation]
    layers = []
    for inputs, outputs in zip(workload.layers, workload.layers[1:]):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def main():
    x, y = (torch.from_numpy(array) for array in data(workload))
    if workload.task == "classes":
        y, criterion = y.long(), nn.functional.cross_entropy
    else:
        criterion = nn.functional.mse_loss
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    batch, steps = workload.batch, workload.rows // workload.batch
    xb = torch.empty(batch, x.shape[1])
    yb = torch.empty((batch, *y.shape[1:]), dtype=y.dtype)

    def loss(x, y):
        if options.variant == "bfloat16":
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(x)
            return criterion(logits.float(), y)
        return criterion(model(x), y)

    if options.variant == "compile":
        loss = torch.compile(loss, fullgraph=True, dynamic=False)

    def epochs(count):
        for _ in range(count):
            order = torch.randperm(workload.rows)[: steps * batch]
            for rows in order.split(batch):
                torch.index_select(x, 0, rows, out=xb)
                torch.index_select(y, 0, rows, out=yb)
                optimizer.zero_grad(set_to_none=True)
                loss(xb, yb).backward()
                optimizer.step()

    report("pytorch", options, workload, {"torch": torch.__version__}, epochs)


main()
