"""q8 and q4 blocks in numpy, from their description alone (crates/tensors/src/blocks.rs).

python tests/parity/blocks.py golden                 # writes what crates/tensors/tests/golden.rs compares with
python tests/parity/blocks.py check PACKED PLAIN     # PACKED: a folder of `cropvlm export --quant`; PLAIN: the same one
                                                     # after `cropvlm export --model PACKED --precision f32 --out PLAIN`

Needs numpy and safetensors.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

BLOCK = 32


def dequantise(data, scales):
    """I8 (q8) or U8 (q4) data and F16 scales [rows, blocks] to f32."""
    shape = list(data.shape)
    if data.dtype == np.uint8:  # the first of two values lies in the low half
        numbers = np.stack([data & 15, data >> 4], axis=-1).astype(np.float32) - 8
        shape[-1] *= 2
    else:
        numbers = data.astype(np.float32)
    numbers = numbers.reshape(shape[0], -1)
    each = np.repeat(scales.astype(np.float32), BLOCK, axis=1)[:, : numbers.shape[1]]
    return (numbers * each).reshape(shape)


def plain(tensors):
    """A file's tensors as f32."""
    out = {}
    for name, data in tensors.items():
        scales = tensors.get(name + ".scales")
        if not name.endswith(".scales"):
            out[name] = data.astype(np.float32) if scales is None else dequantise(data, scales)
    return out


def golden():
    rng = np.random.default_rng(5)
    tensors = {}
    for name, shape, kind in [
        ("q8.rows", (3, 80), np.int8),
        ("q8.odd", (2, 33), np.int8),
        ("q4.rows", (3, 40), np.uint8),
        ("q4.kernel", (4, 3, 4, 2), np.uint8),
    ]:
        low, high = (-127, 128) if kind is np.int8 else (0, 256)
        tensors[name] = rng.integers(low, high, shape).astype(kind)
        columns = int(np.prod(shape[1:])) * (2 if kind is np.uint8 else 1)
        blocks = -(-columns // BLOCK)
        tensors[name + ".scales"] = (rng.standard_normal((shape[0], blocks)) * 0.01).astype(np.float16)
    folder = Path(__file__).parents[2] / "crates/tensors/goldens"
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "packed.safetensors")
    save_file(plain(tensors), folder / "plain.safetensors")


def folder(path):
    """All tensors of a folder as f32, its hashes checked."""
    index = path / "model.safetensors.index.json"
    if not index.exists():
        return plain(load_file(path / "model.safetensors"))
    index = json.loads(index.read_text())
    out = {}
    for name, expected in index["metadata"]["sha256"].items():
        actual = hashlib.sha256((path / name).read_bytes()).hexdigest()
        assert actual == expected, f"{name}: {actual}, the index says {expected}"
        size = (path / name).stat().st_size
        assert size <= 64_000_000, f"{name}: {size} bytes"
        tensors = load_file(path / name)
        assert all(index["weight_map"][key] == name for key in tensors), name
        out |= plain(tensors)
    return out


def check(packed, ours):
    packed, ours = folder(Path(packed)), folder(Path(ours))
    assert packed.keys() == ours.keys(), packed.keys() ^ ours.keys()
    for name, values in packed.items():
        assert values.shape == ours[name].shape, name
        assert np.array_equal(values, ours[name]), f"{name}: {np.abs(values - ours[name]).max()}"
    print(len(packed), "tensors,", sum(v.size for v in packed.values()), "values: equal")


if sys.argv[1:2] == ["golden"]:
    golden()
elif sys.argv[1:2] == ["check"] and len(sys.argv) == 4:
    check(*sys.argv[2:])
else:
    sys.exit(__doc__)
