#!/bin/sh
# Everything that a GPU is needed for, within eight minutes: every path on CUDA against the CPU, rules at the reference
# stack, rounds of ResNet-18 beside the plain loop, and training on CIFAR-10 as far as it gets.
#
#     sh benchmarks/gpu.sh [folder for what comes out] [folder with CIFAR-10]
#
# Where there is no GPU it says so, measures nothing and ends well. Python is $PYTHON, or python.
set -eu
cd "$(dirname "$0")/.."
out="${1:-gpu}"
exec env PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 \
    "${PYTHON:-python}" -m benchmarks.gpu --out "$out" --minutes "${MINUTES:-8}" ${2:+--data-path "$2"}
