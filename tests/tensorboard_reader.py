"""Prints what TensorBoard's own reader finds in a folder, as JSON: FOLDER."""

import json
import sys

from tensorboard.backend.event_processing import event_accumulator as reader

events = reader.EventAccumulator(sys.argv[1], size_guidance={reader.SCALARS: 0, reader.HISTOGRAMS: 0})
events.Reload()
tags = events.Tags()
print(
    json.dumps(
        {
            "scalars": {
                tag: [[event.step, event.value] for event in events.Scalars(tag)]
                for tag in tags["scalars"]
            },
            "histograms": {
                tag: [[event.step, event.histogram_value.num] for event in events.Histograms(tag)]
                for tag in tags["histograms"]
            },
            "last": {
                tag: [last.min, last.max, last.sum, sum(last.bucket)]
                for tag in tags["histograms"]
                for last in [events.Histograms(tag)[-1].histogram_value]
            },
        }
    )
)
