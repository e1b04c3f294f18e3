"""Takes a model file into an nn.Sequential and gives its own back: MODEL X.json OUT.json WEIGHTS.

The modules are made after the layers in the file's metadata; the weights have to fit without a change
of names or shapes. OUT gets the outputs for X, and those after some steps of training, whose weights
are written to WEIGHTS.
"""

import json
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

model, x, out, weights = sys.argv[1:]
with safe_open(model, "pt") as file:
    spec = json.loads(file.metadata()["unisono"])
with open(x, encoding="utf-8") as text:
    x = torch.tensor(json.load(text))

ACTIVATIONS = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": lambda slope: nn.LeakyReLU(slope),
    "elu": lambda alpha: nn.ELU(alpha),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softmax": lambda: nn.Softmax(dim=1),
}


def module(layer, inputs):
    kind = layer["layer"]
    if kind == "dense":
        return nn.Linear(inputs, layer["outputs"])
    if kind == "layer_norm":
        return nn.LayerNorm(inputs, eps=layer["eps"])
    if kind == "dropout":
        return nn.Dropout(layer["rate"])
    function = layer["function"]
    if isinstance(function, dict):
        ((name, arguments),) = function.items()
        return ACTIVATIONS[name](**arguments)
    return ACTIVATIONS[function]()


modules, width = [], spec["inputs"]
for layer in spec["layers"]:
    modules.append(module(layer, width))
    width = layer.get("outputs", width)
net = nn.Sequential(*modules)
net.load_state_dict(load_file(model), strict=True)


def outputs():
    net.eval()
    with torch.no_grad():
        return net(x).tolist()


before = outputs()
net.train()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
for _ in range(3):
    optimizer.zero_grad()
    net(x).square().mean().backward()
    optimizer.step()
save_file(net.state_dict(), weights)
with open(out, "w", encoding="utf-8") as text:
    json.dump({"torch": torch.__version__, "before": before, "after": outputs()}, text)
