# SPDX-License-Identifier: Apache-2.0
"""A chart on log axes as plain SVG: points that were measured, lines for bounds and fits, marks across."""

import math
from html import escape

WIDTH, HEIGHT = 760, 470
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 52, 92

STYLE = """
    .paper { fill: #ffffff; stroke: #d0d7de }
    text { font: 12px -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #59636e }
    .title { font-size: 15px; font-weight: 600; fill: #1f2328 }
    .grid { stroke: #d0d7de; stroke-width: 0.6 }
    .mark { stroke: #8c959f; stroke-dasharray: 2 4 }
    .bound { fill: none; stroke-width: 1.5; stroke-dasharray: 7 4 }
    .fit { fill: none; stroke-width: 1 }
    .c0 { stroke: #2a6fb0; color: #2a6fb0 } .c1 { stroke: #b4551d; color: #b4551d }
    .c2 { stroke: #3f8f5f; color: #3f8f5f } .c3 { stroke: #7d4fa8; color: #7d4fa8 }
    circle { fill: currentColor; stroke: none }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; stroke: #30363d }
      text { fill: #9198a1 }
      .title { fill: #e6edf3 }
      .grid { stroke: #30363d }
      .mark { stroke: #6e7681 }
      .c0 { stroke: #5b9fe0; color: #5b9fe0 } .c1 { stroke: #e08a4f; color: #e08a4f }
      .c2 { stroke: #4fa873; color: #4fa873 } .c3 { stroke: #ab84d6; color: #ab84d6 }
    }
"""


class Axis:
    """Values on a log scale to places on the page."""

    def __init__(self, values, start, end):
        self.low, self.high = min(values) / 1.15, max(values) * 1.15
        self.start, self.end = start, end

    def __call__(self, value):
        along = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + along * (self.end - self.start)

    def ticks(self):
        """1, 2, 5 times the powers of ten; only the powers where that is too many."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1,)):
            ticks = [step * 10.0 ** power for power in powers for step in steps]
            ticks = [tick for tick in ticks if self.low <= tick <= self.high]
            if len(ticks) <= 12:
                break
        return ticks


def polyline(kind, colour, points, x, y):
    places = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    return f'  <polyline class="{kind} c{colour}" points="{places}"/>'


def chart(title, x_name, y_name, series, marks=()):
    """series: dicts with `label`, `points` [(x, y)], `bound` (the same, drawn dashed) and `fits` (of shape_runs.fit);
    marks: (x, label), lines across."""
    everything = [point for s in series for point in s["points"] + s["bound"]]
    x = Axis([point[0] for point in everything], LEFT, WIDTH - RIGHT)
    y = Axis([point[1] for point in everything], HEIGHT - BOTTOM, TOP)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
             f'height="{HEIGHT}" role="img" aria-label="{escape(title)}">',
             f"  <style>{STYLE}  </style>",
             f'  <rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>',
             f'  <text class="title" x="{LEFT}" y="26">{escape(title)}</text>']
    for tick in x.ticks():
        lines.append(f'  <line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        lines.append(f'  <text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    for tick in y.ticks():
        lines.append(f'  <line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        lines.append(f'  <text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    lines.append(f'  <text x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM + 32}" text-anchor="end">{escape(x_name)}</text>')
    lines.append(f'  <text x="{LEFT}" y="{TOP - 8}">{escape(y_name)}</text>')
    for place, label in marks:
        if x.low <= place <= x.high:
            lines.append(f'  <line class="mark" x1="{x(place):.1f}" x2="{x(place):.1f}" y1="{TOP}" '
                         f'y2="{HEIGHT - BOTTOM}"/>')
            lines.append(f'  <text x="{x(place) + 4:.1f}" y="{HEIGHT - BOTTOM - 6}">{escape(label)}</text>')
    for number, s in enumerate(series):
        for line in s["fits"]:
            ends = [(a, line["factor"] * a ** line["slope"]) for a in (line["from"], line["to"])]
            lines.append(polyline("fit", number, ends, x, y))
        lines.append(polyline("bound", number, s["bound"], x, y))
        for a, b in s["points"]:
            lines.append(f'  <circle class="c{number}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5"/>')
        row = HEIGHT - BOTTOM + 50 + 18 * (number // 2)
        column = LEFT + (WIDTH - LEFT - RIGHT) / 2 * (number % 2)
        lines.append(f'  <circle class="c{number}" cx="{column + 4:.1f}" cy="{row - 4}" r="3.5"/>')
        lines.append(f'  <text x="{column + 14:.1f}" y="{row}">{escape(s["label"])}</text>')
    lines.append("</svg>\n")
    return "\n".join(lines)
