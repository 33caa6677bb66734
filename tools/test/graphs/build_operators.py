"""A script: let NVIDIA's parser and builder take each of operator_graphs. Prints, as JSON, what refused which and why.

A process of its own: a parser that lacks a plugin may end it.
"""
import json
import sys

import operator_graphs

from trt_perception_tools.graphs.trial_build import build


def main() -> None:
    results = {}
    for operator, dtype, model in operator_graphs.graphs():
        if operator not in sys.argv[1:]:
            trial = build(model.SerializeToString())
            refused = 'builder' if trial.layers else 'parser'
            results[f'{operator} {dtype}'] = [refused, trial.faults[0].text] if trial.faults else ['', '']
    json.dump(results, sys.__stdout__)


if __name__ == '__main__':
    main()
