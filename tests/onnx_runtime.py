"""Runs an ONNX file: MODEL INPUTS OUTPUTS.

INPUTS is JSON, the rows of each input by its name: numbers (null for NaN) or texts. What it says of the
file, and the outputs, are written as JSON too.
"""

import json
import sys

import numpy
import onnx
import onnxruntime

model, inputs, outputs = sys.argv[1:]
onnx.checker.check_model(model, full_check=True)
file = onnx.load(model)
with open(inputs, encoding="utf-8") as text:
    given = json.load(text)


def array(rows):
    if isinstance(rows[0][0], str):
        return numpy.array(rows, dtype=object)
    return numpy.array(rows, dtype="<f4")  # None becomes NaN


session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(y,) = session.run(["y"], {name: array(rows) for name, rows in given.items()})
assert y.dtype == numpy.float32
found = {
    "opsets": {opset.domain: opset.version for opset in file.opset_import},
    "rows": [i.type.tensor_type.shape.dim[0].dim_param for i in [*file.graph.input, *file.graph.output]],
    "y": [[float(value) for value in row] for row in y],
}
with open(outputs, "w", encoding="utf-8") as text:
    json.dump(found, text)
