#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the polynomial coefficients of src/kernels/gate_math-inl.h (Remez exchange in 60 digits; needs mpmath).

exp(-r) - 1 = -r + r^2 q(r) on |r| <= ln(2)/2, where q minimises the error relative to exp(-r) - 1;
log1p(e) = 2 z + 2 z^3 p(z^2) with z = e / (2 + e), 0 <= e <= 1, where p minimises the error relative to it.
"""
from mpmath import mp, mpf, matrix, lu_solve, expm1, log, log1p, atanh, cos, pi, findroot

mp.dps = 60


def remez(f, weight, low, high, degree, rounds=12):
    """Coefficients of the polynomial that minimises max |weight (p - f)| on [low, high], and that maximum."""
    count = degree + 2
    x = [(low + high) / 2 - (high - low) / 2 * cos(pi * (k + mpf(1) / 2) / count) for k in range(count)]
    for _ in range(rounds):
        system = matrix(count, count)
        right = matrix(count, 1)
        for i, v in enumerate(x):
            for j in range(degree + 1):
                system[i, j] = v ** j
            system[i, degree + 1] = (-1) ** i / weight(v)
            right[i] = f(v)
        c = list(lu_solve(system, right))[:-1]
        error = lambda v: weight(v) * (sum(a * v ** k for k, a in enumerate(c)) - f(v))
        samples = 60 * count
        grid = [low + (high - low) * mpf(k) / samples for k in range(samples + 1)]
        values = [error(v) for v in grid]
        # The extremum of each run of equal signs, at least one per alternation.
        peaks = []
        for v, e in zip(grid, values):
            if peaks and (peaks[-1][1] > 0) == (e > 0):
                if abs(e) > abs(peaks[-1][1]):
                    peaks[-1] = (v, e)
            else:
                peaks.append((v, e))
        while len(peaks) > count:
            peaks.pop(0 if abs(peaks[0][1]) < abs(peaks[-1][1]) else -1)
        if len(peaks) < count:
            break
        x = [p[0] for p in peaks]
    return c, max(abs(e) for e in values)


def show(name, c, error):
    print(f"{name}: largest relative error 2^{float(log(error, 2)):.2f}")
    for k, a in enumerate(c):
        print(f"  c{k} = {mp.nstr(a, 20)}")


half_ln2 = log(mpf(2)) / 2 * mpf("1.0001")


def q(r):
    if abs(r) < mpf("1e-12"):
        return mpf(1) / 2 - r / 6
    return (expm1(-r) + r) / r ** 2


def q_weight(r):
    r = r if abs(r) > mpf("1e-12") else mpf("1e-12")
    return abs(r ** 2 / expm1(-r))


def p(u):
    if u < mpf("1e-20"):
        return mpf(1) / 3
    z = mp.sqrt(u)
    return (atanh(z) - z) / z ** 3


def p_weight(u):
    u = u if u > mpf("1e-20") else mpf("1e-20")
    z = mp.sqrt(u)
    return z ** 3 / atanh(z)


for bits, q_degree, p_degree in ((32, 4, 3), (64, 10, 9)):
    show(f"float{bits} exp, degree {q_degree}", *remez(q, q_weight, -half_ln2, half_ln2, q_degree))
    show(f"float{bits} log1p, degree {p_degree}", *remez(p, p_weight, mpf(0), mpf(1) / 9, p_degree))
