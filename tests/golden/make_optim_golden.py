# SPDX-License-Identifier: Apache-2.0
"""Golden vectors of PyTorch's optimizers, clipping and learning-rate schedules, in float64.

    python3 tests/golden/make_optim_golden.py [FOLDER]

Made with PyTorch 2.15.0 and NumPy 2.4.6. It is seeded and gives the same bytes each time; another version of PyTorch
may differ in the last bits.

optim.safetensors has the parameters and the gradients of every step once ("start.NAME", "grad.NAME" [steps, ...]),
and one case a set of options, whose metadata are the options by PyTorch's names: the parameters after every fourth
step ("case.NAME" [steps / 4, ...]). "clip_..." has the norm and the clipped gradients, "schedule_..." the rates.
"""

import math
import pathlib
import sys

import numpy as np
import torch

import safetensors_file

STEPS, EVERY, EPOCHS = 20, 4, 50
SHAPES = {"weight_ih_l0": (6, 4), "bias_ih_l0": (6,), "head.weight": (1, 3)}
FOLDER = pathlib.Path(__file__).resolve().parent

OPTIMIZERS = {
    "sgd": ("SGD", dict(lr=0.1)),
    "sgd_decay": ("SGD", dict(lr=0.1, weight_decay=0.05)),
    "sgd_momentum": ("SGD", dict(lr=0.1, momentum=0.9)),
    "sgd_dampening": ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.05)),
    "sgd_nesterov": ("SGD", dict(lr=0.1, momentum=0.9, weight_decay=0.05, nesterov=True)),
    "adam": ("Adam", dict()),
    "adam_decay": ("Adam", dict(lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)),
    "adam_amsgrad": ("Adam", dict(lr=0.05, weight_decay=0.1, amsgrad=True)),
    "adam_far_average": ("Adam", dict(lr=0.05, betas=(0.3, 0.9))),
    "adamw": ("AdamW", dict()),
    "adamw_decay": ("AdamW", dict(lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)),
    "adamw_amsgrad": ("AdamW", dict(lr=0.05, amsgrad=True)),
    "rmsprop": ("RMSprop", dict()),
    "rmsprop_centered": ("RMSprop", dict(alpha=0.9, eps=1e-6, centered=True)),
    "rmsprop_momentum": ("RMSprop", dict(momentum=0.9, weight_decay=0.1)),
    "rmsprop_all": ("RMSprop", dict(lr=0.02, alpha=0.4, weight_decay=0.1, momentum=0.5, centered=True)),
    "adagrad": ("Adagrad", dict()),
    "adagrad_decay": ("Adagrad", dict(lr=0.1, lr_decay=0.01, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-8)),
}

SCHEDULES = {
    "step": ("StepLR", dict(step_size=7, gamma=0.5)),
    "cosine": ("CosineAnnealingLR", dict(T_max=30, eta_min=0.01)),
    "cosine_to_zero": ("CosineAnnealingLR", dict(T_max=20)),
    "linear": ("LinearLR", dict()),
    "linear_down": ("LinearLR", dict(start_factor=0.9, end_factor=0.1, total_iters=12)),
    "plateau": ("ReduceLROnPlateau", dict(patience=3)),
    "plateau_max": ("ReduceLROnPlateau", dict(mode="max", factor=0.5, patience=2, threshold=0.05, cooldown=3)),
    "plateau_abs": ("ReduceLROnPlateau", dict(
        factor=0.7, patience=1, threshold=0.02, threshold_mode="abs", min_lr=0.02, eps=1e-3)),
    "plateau_max_abs": ("ReduceLROnPlateau", dict(
        mode="max", factor=0.5, patience=4, threshold=0.03, threshold_mode="abs", cooldown=1)),
}


def uniform(*shape):
    return torch.rand(*shape, dtype=torch.float64) * 2 - 1


def text_of(value):
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(repr(v) for v in value)
    return str(value)


def metadata_of(kind, options):
    return " ".join([f"type={kind}"] + [f"{key}={text_of(value)}" for key, value in options.items()])


def optimizer_case(tensors, name, kind, options, start, grads):
    parameters = {key: torch.nn.Parameter(value.clone()) for key, value in start.items()}
    optimizer = getattr(torch.optim, kind)(list(parameters.values()), foreach=False, **options)
    kept = {key: [] for key in parameters}
    for step in range(STEPS):
        for key, parameter in parameters.items():
            parameter.grad = grads[key][step].clone()
        optimizer.step()
        if (step + 1) % EVERY == 0:
            for key, parameter in parameters.items():
                kept[key].append(parameter.detach().clone())
    for key, values in kept.items():
        tensors[f"{name}.{key}"] = torch.stack(values).numpy()


def clip_case(tensors, name, norm_type, max_norm, start, grads):
    parameters = [torch.nn.Parameter(value.clone()) for value in start.values()]
    for key, parameter in zip(grads, parameters):
        parameter.grad = grads[key][0].clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)
    tensors[f"{name}.norm"] = norm.reshape(1).numpy()
    for key, parameter in zip(grads, parameters):
        tensors[f"{name}.{key}"] = parameter.grad.numpy()


def schedule_case(tensors, name, kind, options, metric):
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    schedule = getattr(torch.optim.lr_scheduler, kind)(optimizer, **options)
    rates = []
    for epoch in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if kind == "ReduceLROnPlateau":
            schedule.step(metric[-1 - epoch] if options.get("mode") == "max" else metric[epoch])
        else:
            schedule.step()
    tensors[f"schedule_{name}.lr"] = np.array(rates, dtype=np.float64)


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    torch.manual_seed(20240501)
    torch.set_num_threads(1)
    start = {key: uniform(*shape) for key, shape in SHAPES.items()}
    grads = {key: uniform(STEPS, *shape) for key, shape in SHAPES.items()}
    tensors, metadata = {}, {}
    for key in SHAPES:
        tensors[f"start.{key}"] = start[key].numpy()
        tensors[f"grad.{key}"] = grads[key].numpy()
    for name, (kind, options) in OPTIMIZERS.items():
        optimizer_case(tensors, name, kind, options, start, grads)
        metadata[name] = metadata_of(kind, options)
    for name, norm_type, max_norm in [
            ("clip_2", 2.0, 0.5), ("clip_1", 1.0, 3.0), ("clip_inf", math.inf, 0.25), ("clip_3", 3.0, 0.75),
            ("clip_not", 2.0, 100.0)]:
        clip_case(tensors, name, norm_type, max_norm, start, grads)
        metadata[name] = metadata_of("clip_grad_norm", dict(norm_type=norm_type, max_norm=max_norm))
    # A loss that falls and then stands; for mode "max" the same numbers backwards are a score.
    metric = torch.linspace(1, 0, EPOCHS, dtype=torch.float64) ** 3 + 0.1 * uniform(EPOCHS)
    metric[17] = math.nan
    tensors["schedule.metric"] = metric.numpy()
    for name, (kind, options) in SCHEDULES.items():
        schedule_case(tensors, name, kind, options, metric.tolist())
        metadata[f"schedule_{name}"] = metadata_of(kind, options)
    safetensors_file.save(folder / "optim.safetensors", tensors, metadata)


if __name__ == "__main__":
    main()
