# SPDX-License-Identifier: Apache-2.0
"""Writes a safetensors file from NumPy arrays, without the safetensors package."""

import json
import struct

import numpy as np

_DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64"}


def save(path, tensors, metadata, types=None):
    """tensors: {name: array}; metadata: {key: text}; types: {name: dtype as in the file}, where it is not the
    array's own (a bfloat16 comes as int16).
    """
    types = types or {}
    header = {"__metadata__": metadata}
    offset = 0
    # Wide types first, so that each tensor is aligned to its own type (the format allows no gaps).
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    for name in names:
        array = tensors[name]
        header[name] = {
            "dtype": types.get(name) or _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)))
        out.write(text)
        for name in names:
            out.write(np.ascontiguousarray(tensors[name]).tobytes())
