#!/usr/bin/env python3
"""Milliseconds of the map policy's convolutions with their gradients in PyTorch, on this machine.

The peer of `cargo run --release -p kernels --example convolutions`: same layers, same batch, shortest of as many tries.

usage: bench_convolutions.py [--threads N]
"""
import argparse
import time

import torch
from torch.nn.grad import conv2d_input, conv2d_weight

BATCH = 3
LAYERS = [
    (1, 16, 1024, 576, 4, 2),
    (16, 32, 512, 288, 3, 2),
    (32, 56, 256, 144, 3, 2),
    (56, 56, 128, 72, 3, 1),
    (80, 80, 64, 36, 3, 1),
    (128, 128, 32, 18, 3, 1),
    (56, 252, 128, 72, 1, 1),
]


def best(work):
    tries = []
    for _ in range(20):
        start = time.perf_counter()
        work()
        tries.append(time.perf_counter() - start)
    return f"{min(tries) * 1e3:.1f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| layer | forward | of the input | of the weights |\n|---|---|---|---|")
    with torch.no_grad():
        for of, to, height, width, kernel, stride in LAYERS:
            x = torch.full((BATCH, of, height, width), 0.5)
            weight, bias = torch.full((to, of, kernel, kernel), 0.1), torch.zeros(to)
            pad = (kernel - 1) // 2
            grad = torch.full_like(torch.nn.functional.conv2d(x, weight, bias, stride, pad), 0.3)
            times = [
                best(lambda: torch.nn.functional.conv2d(x, weight, bias, stride, pad)),
                best(lambda: conv2d_input(x.shape, weight, grad, stride, pad)),
                best(lambda: conv2d_weight(x, weight.shape, grad, stride, pad)),
            ]
            print(f"| {of} to {to}, {kernel} x {kernel} / {stride}, {height} x {width} | {' | '.join(times)} |")


if __name__ == "__main__":
    main()
