"""Makes runs of PyTorch that tests/golden.rs holds unisono's against: FOLDER NAME..., all if none is named.

Needs torch and safetensors. A run has the same bits each time with one version of PyTorch, which is
in the file. The runs of tests/golden that are not among these are from before this script.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

ROWS, BATCH, STEPS = 64, 16, 25
RUNS = {
    "elu_ce_adagrad": {
        "layers": [6, 11, 3],
        "activation": "elu",
        "loss": "cross_entropy",
        "optimizer": "adagrad",
        "options": {"lr": 0.05, "label_smoothing": 0.1},
    },
    "softplus_huber_adagrad_decay": {
        "layers": [5, 14, 2],
        "activation": "softplus",
        "loss": "huber",
        "optimizer": "adagrad",
        "options": {
            "lr": 0.1,
            "lr_decay": 0.02,
            "initial_accumulator_value": 0.1,
            "weight_decay": 0.001,
            "delta": 0.5,
        },
    },
    "gelu_mae_rmsprop_centered": {
        "layers": [4, 12, 2],
        "activation": "gelu",
        "loss": "mae",
        "optimizer": "rmsprop",
        "options": {"lr": 0.002, "alpha": 0.9, "momentum": 0.5, "centered": True},
    },
    "silu_bce_sgd_dampening": {
        "layers": [7, 9, 1],
        "activation": "silu",
        "loss": "binary_cross_entropy",
        "optimizer": "sgd",
        "options": {"lr": 0.2, "momentum": 0.9, "dampening": 0.5},
    },
    "leaky_relu_ce_adam_step": {
        "layers": [6, 13, 3],
        "activation": "leaky_relu",
        "loss": "cross_entropy",
        "optimizer": "adam",
        "options": {"lr": 0.02},
        "schedule": {"step": {"every": 2, "gamma": 0.5}},
    },
    "leaky_relu_mse_sgd_exponential": {
        "layers": [5, 10, 2],
        "activation": "leaky_relu",
        "loss": "mse",
        "optimizer": "sgd",
        "options": {"lr": 0.1, "momentum": 0.9},
        "schedule": {"exponential": {"gamma": 0.8}},
    },
    "tanh_ce_adamw_cosine": {
        "layers": [4, 12, 3],
        "activation": "tanh",
        "loss": "cross_entropy",
        "optimizer": "adamw",
        "options": {"lr": 0.03},
        "schedule": {"cosine_warmup": {"warmup_steps": 5, "total_steps": 24, "min_lr": 0.001}},
    },
    "elu_mae_sgd_plateau": {
        "layers": [6, 9, 2],
        "activation": "elu",
        "loss": "mae",
        "optimizer": "sgd",
        "options": {"lr": 0.6, "momentum": 0.5},
        "schedule": {
            "reduce_on_plateau": {"factor": 0.6, "patience": 0, "min_lr": 0.1, "threshold": 0.02}
        },
        "steps": 60,
    },
}
ACTIVATIONS = {
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
}
LOSSES = {
    "cross_entropy": nn.CrossEntropyLoss,
    "mse": nn.MSELoss,
    "huber": nn.HuberLoss,
    "mae": nn.L1Loss,
    "binary_cross_entropy": nn.BCEWithLogitsLoss,
}
OPTIMIZERS = {
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
OF_LOSS = {"label_smoothing", "delta"}
ADJUST = torch.optim.lr_scheduler


class Schedule:
    """Changes an optimizer's learning rate after steps and, by the mean of their losses, after epochs."""

    def __init__(self, optimizer, config):
        ((kind, options),) = (config or {"constant": {}}).items()
        self.losses, self.of_step, self.of_epoch, self.by_loss = [], None, None, None
        if kind == "step":
            self.of_epoch = ADJUST.StepLR(optimizer, options["every"], options["gamma"])
        elif kind == "exponential":
            self.of_epoch = ADJUST.ExponentialLR(optimizer, options["gamma"])
        elif kind == "cosine_warmup":
            warm, total = options["warmup_steps"], options["total_steps"]
            rise = ADJUST.LinearLR(optimizer, 1 / warm, total_iters=warm - 1)
            fall = ADJUST.CosineAnnealingLR(optimizer, total - warm, options["min_lr"])
            self.of_step = ADJUST.SequentialLR(optimizer, [rise, fall], [warm])
        elif kind == "reduce_on_plateau":
            self.by_loss = ADJUST.ReduceLROnPlateau(optimizer, **options)

    def after_step(self, loss):
        self.losses.append(loss)
        if self.of_step:
            self.of_step.step()
        if len(self.losses) == ROWS // BATCH:
            if self.of_epoch:
                self.of_epoch.step()
            if self.by_loss:
                self.by_loss.step(sum(self.losses) / len(self.losses))
            self.losses = []


def make(name, config):
    torch.manual_seed(sum(name.encode()))
    sizes, options = config["layers"], config["options"]
    modules = []
    for fan_in, fan_out in zip(sizes, sizes[1:]):
        modules += [nn.Linear(fan_in, fan_out), ACTIVATIONS[config["activation"]]()]
    net = nn.Sequential(*modules[:-1])
    loss = LOSSES[config["loss"]](**{k: v for k, v in options.items() if k in OF_LOSS})
    optimizer = OPTIMIZERS[config["optimizer"]](
        net.parameters(), **{k: v for k, v in options.items() if k not in OF_LOSS}
    )

    x = torch.randn(ROWS, sizes[0])
    y = torch.sin(x @ torch.randn(sizes[0], sizes[-1])) + 0.1 * torch.randn(ROWS, sizes[-1])
    if config["loss"] == "cross_entropy":
        y = y.argmax(1)
    elif config["loss"] == "binary_cross_entropy":
        y = (y > 0).float()

    def parameters(prefix, value):
        linear = [module for module in net if isinstance(module, nn.Linear)]
        return {
            f"{prefix}{letter}{layer}": value(tensor).detach().clone()
            for layer, module in enumerate(linear)
            for letter, tensor in (("w", module.weight), ("b", module.bias))
        }

    tensors = {"x": x, "y": y} | parameters("", lambda weight: weight)
    schedule = Schedule(optimizer, config.get("schedule"))
    steps, losses, rates = config.get("steps", STEPS), [], []
    for step in range(steps):
        rows = torch.arange(step * BATCH, (step + 1) * BATCH) % ROWS
        optimizer.zero_grad()
        value = loss(net(x[rows]), y[rows])
        value.backward()
        if step == 0:
            tensors |= parameters("grad_", lambda weight: weight.grad)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        losses.append(value.item())
        schedule.after_step(value.item())
    tensors |= parameters("final_", lambda weight: weight) | {"losses": torch.tensor(losses)}
    whole = {"torch": torch.__version__, "rows": ROWS, "batch": BATCH, "steps": steps, "name": name}
    if "schedule" in config:
        whole["rates"] = rates
    # safetensors writes several keys in any order, and the same run is to be the same file.
    return tensors, {"config": json.dumps(whole | config)}


torch.set_num_threads(1)
for name in sys.argv[2:] or RUNS:
    tensors, metadata = make(name, RUNS[name])
    save_file(tensors, Path(sys.argv[1]) / f"{name}.safetensors", metadata)
