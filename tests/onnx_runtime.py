"""Runs an ONNX file on rows of f32 values: MODEL INPUTS COLUMNS OUTPUTS."""

import sys

import numpy
import onnxruntime

model, inputs, columns, outputs = sys.argv[1:]
x = numpy.fromfile(inputs, dtype="<f4").reshape(-1, int(columns))
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(y,) = session.run(["y"], {"x": x})
y.astype("<f4").tofile(outputs)
