# SPDX-License-Identifier: Apache-2.0
"""Golden vectors from PyTorch in float64 for every loss: losses.safetensors, which losses_test.cc reads.

    python3 tests/golden/make_loss_golden.py [FOLDER]

Made with PyTorch 2.15.0 and NumPy 2.4.6 on Python 3.11; another version may differ in the last bits. Seeded: the
same bytes each time.

A case has the tensors `case.input`, `case.target` (class indices too are stored as numbers), `case.weight` and
`case.pos_weight` where it has them, the losses `case.none`, `case.mean` and `case.sum`, one for each reduction, and
`case.grad_mean` and `case.grad_sum`, the gradients of the last two with respect to the input. Its metadata are its
options. Inputs, targets and weights are float32 numbers, so that float32 and float64 are asked for the same values.

Classes are last here, as in sluice; PyTorch gets them second. With lengths PyTorch gets the elements that count, and
nothing else: what it does not see must not matter, and stands in the file as numbers that would spoil every sum.
"""

import pathlib
import sys

import torch
from torch import nn

import safetensors_file

FOLDER = pathlib.Path(__file__).resolve().parent
SHAPE = (4, 3, 2)  # T, B, F
LENGTHS = [3, 0, 4]  # not sorted, and one row of no steps
CLASSES = 7
tensors, metadata = {}, {}


def uniform(*shape, low=-1.0, high=1.0):
    return (torch.rand(*shape, dtype=torch.float64) * (high - low) + low).float().double()


def numbers(*values):
    return torch.tensor(values, dtype=torch.float32).double()


def add(name, call, x, target, shape, lengths, options, **weights):
    """call(reduction, what PyTorch is to see of a tensor, x) gives the loss; `shape` is that of the losses."""
    mask = torch.ones(shape, dtype=torch.bool)
    if lengths:
        steps = torch.arange(shape[0])[:, None] < torch.tensor(lengths)[None, :]
        mask = steps.reshape(*steps.shape, *[1] * (len(shape) - 2)).expand(shape).contiguous()

    def seen(values):
        return values if values is None or not lengths else values[mask]

    def spread(values):
        """What PyTorch gave for what it saw, in its place, and zeros elsewhere."""
        if not lengths:
            return values
        whole = torch.zeros(*shape, *values.shape[1:], dtype=torch.float64)
        whole[mask] = values
        return whole

    grads = {}
    for reduction in ("none", "mean", "sum"):
        part = seen(x).clone().requires_grad_()
        loss = call(reduction, seen, part)
        loss.sum().backward()
        grads[reduction] = spread(part.grad)
        tensors[f"{name}.{reduction}"] = spread(loss.detach()) if reduction == "none" else loss.detach()
    assert torch.equal(grads["none"], grads["sum"])
    tensors[f"{name}.grad_mean"], tensors[f"{name}.grad_sum"] = grads["mean"], grads["sum"]

    if lengths:
        x, target = x.clone(), target.clone()
        x[~mask] = 1e30
        if x.shape != target.shape:
            target[~mask] = 10**6
    for key, value in dict(input=x, target=target, **weights).items():
        if value is not None:
            tensors[f"{name}.{key}"] = value.float()
            assert torch.equal(value.float().double(), value.double()) or lengths
    if lengths:
        options["lengths"] = ",".join(map(str, lengths))
    metadata[name] = " ".join(f"{key}={value}" for key, value in options.items())


def elementwise(name, module, x, target, lengths=None, options=None, **weights):
    def call(reduction, seen, part):
        repeated = {k: seen(w.expand(x.shape)) if lengths and w is not None else w for k, w in weights.items()}
        return module(reduction=reduction, **repeated, **(options or {}))(part, seen(target))

    add(name, call, x, target, x.shape, lengths, {"type": name.split(".")[0], **(options or {})}, **weights)


def with_classes(name, module, x, target, weight=None, lengths=None, **options):
    def call(reduction, seen, part):
        part = part.movedim(-1, 1) if part.dim() > 1 else part
        return module(reduction=reduction, weight=weight, **options)(part, seen(target))

    known = {"ignore_index": -100, "label_smoothing": 0.0, **options}
    add(name, call, x, target, target.shape, lengths, {"type": name.split(".")[0], **known}, weight=weight)


def binary():
    per_feature = uniform(2, low=0.5, high=3)
    all_weights = {"no": None, "per_feature": per_feature, "per_row": uniform(3, 1, low=0.5, high=3),
                   "per_element": uniform(*SHAPE, low=0.5, high=3)}
    for key, weight in all_weights.items():
        hard, soft = (uniform(*SHAPE) > 0).double(), uniform(*SHAPE, low=0)
        pos_weight = None if key == "per_feature" else uniform(2, low=0.25, high=4)
        elementwise(f"bce.{key}_weight", nn.BCELoss, uniform(*SHAPE, low=0.001, high=0.999), hard, weight=weight)
        elementwise(f"bce_with_logits.{key}_weight", nn.BCEWithLogitsLoss, uniform(*SHAPE, low=-6, high=6), soft,
                    weight=weight, pos_weight=pos_weight)
    elementwise("bce.lengths", nn.BCELoss, uniform(*SHAPE, low=0.001, high=0.999), soft, LENGTHS, weight=per_feature)
    elementwise("bce_with_logits.lengths", nn.BCEWithLogitsLoss, uniform(*SHAPE, low=-6, high=6), hard, LENGTHS,
                weight=per_feature, pos_weight=uniform(2, low=0.25, high=4))
    ends = numbers(0, 0, 0, 1, 1, 1, 1e-30, 1e-30, 1 - 2.0**-24)
    elementwise("bce.ends", nn.BCELoss, ends, numbers(0, 1, 0.25, 0, 1, 0.25, 0, 1, 0))
    far = numbers(1000, 1000, -1000, -1000, 88, -88, 0, -0.0)
    elementwise("bce_with_logits.far", nn.BCEWithLogitsLoss, far, numbers(0, 1, 0, 1, 0.5, 0.5, 1, 0))


def regression():
    for key, lengths in (("all", None), ("lengths", LENGTHS)):
        x, target = uniform(*SHAPE, low=-2, high=2), uniform(*SHAPE, low=-2, high=2)
        target[0, 0, 0] = x[0, 0, 0]  # no difference
        x[0, 2, 0], target[0, 2, 0] = 0.75, 0.25  # exactly beta = 0.5
        x[0, 2, 1], target[0, 2, 1] = -0.25, 0.25
        elementwise(f"mse.{key}", nn.MSELoss, x, target, lengths)
        elementwise(f"l1.{key}", nn.L1Loss, x, target, lengths)
        for beta in (1.0, 0.5, 0.0):
            elementwise(f"smooth_l1.{key}_{beta:g}", nn.SmoothL1Loss, x, target, lengths, dict(beta=beta))


def classes():
    def both(key, shape, target, **options):
        x = uniform(*shape, CLASSES, low=-4, high=4)
        with_classes(f"nll.{key}", nn.NLLLoss, torch.log_softmax(x, -1).float().double(), target, **options)
        with_classes(f"cross_entropy.{key}", nn.CrossEntropyLoss, x, target, **options)
        with_classes(f"cross_entropy.{key}_smooth", nn.CrossEntropyLoss, x, target, label_smoothing=0.1, **options)

    weight = uniform(CLASSES, low=0.25, high=4)
    one_without = weight.clone()
    one_without[2] = 0
    target = torch.randint(0, CLASSES, (4, 3))
    both("plain", (6,), torch.randint(0, CLASSES, (6,)))
    both("one_row", (), torch.tensor(4), weight=weight)
    both("weight", (4, 3), target, weight=weight)
    some = target.clone()
    some[1, 1] = some[0, 2] = -100
    both("ignored", (4, 3), some)
    some = target.clone()
    some[1, 0] = some[2, 2] = 3
    both("ignored_class", (4, 3), some, weight=weight, ignore_index=3)
    some[0, 0] = -1
    both("lengths", (4, 3), some, weight=weight, ignore_index=-1, lengths=LENGTHS)
    both("all_ignored", (2,), torch.full((2,), -100), weight=weight)
    both("weight_of_nothing", (2,), torch.full((2,), 2), weight=one_without)
    with_classes("cross_entropy.all_smooth", nn.CrossEntropyLoss, uniform(3, CLASSES, low=-4, high=4),
                 torch.tensor([6, 0, 2]), weight=weight, label_smoothing=1.0)
    with_classes("cross_entropy.wide", nn.CrossEntropyLoss, uniform(2, 261, low=-8, high=8),
                 torch.tensor([260, 17]), label_smoothing=0.1)  # more classes than sluice takes at a time
    far = numbers(1000, -1000, 0, -1000, 1000, 999).reshape(2, 3)
    with_classes("cross_entropy.far", nn.CrossEntropyLoss, far, torch.tensor([1, 1]))


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    torch.set_num_threads(1)
    torch.manual_seed(2013)
    binary()
    regression()
    classes()
    path = folder / "losses.safetensors"
    safetensors_file.save(path, {key: value.numpy() for key, value in tensors.items()}, metadata)
    print(f"{path.name}: {len(metadata)} cases, {len(tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
