# SPDX-License-Identifier: Apache-2.0
"""The picture: how many times sluice's time the best rival takes, a bar a case."""

import math

ROW, BAR, LEFT, WIDTH, TOP = 34, 13, 190, 620, 64
COLORS = {1: "#2f6f9f", 2: "#e08a2e"}
BEHIND = "#b03030"
FONT = 'font-family="sans-serif"'


def text(x, y, words, size=12, anchor="start", color="#222"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{color}" {FONT}>{words}</text>'


def bars(sections):
    """sections: (title, entries); entries: (case, threads, best rival, its time / sluice's), in order; those of a case
    stand together."""
    entries = [entry for _, section in sections for entry in section]
    groups = {}
    for title, section in sections:
        groups[title] = []  # a row of its own
        for case, threads, rival, ratio in section:
            groups.setdefault(case, []).append((threads, rival, ratio))
    ratios = [ratio for *_, ratio in entries] or [1]
    low, high = math.log2(min(0.8, *ratios) * 0.9), math.log2(max(2, *ratios) * 1.1)
    all_threads = sorted({threads for _, threads, _, _ in entries})
    color = {threads: list(COLORS.values())[i % 2] for i, threads in enumerate(all_threads)}

    def at(ratio):
        return LEFT + WIDTH * (math.log2(ratio) - low) / (high - low)

    height = TOP + ROW * len(groups) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 150}" height="{height}">']
    out.append('<rect width="100%" height="100%" fill="white"/>')
    out.append(text(10, 20, "Time of the fastest rival / time of sluice (right of 1: sluice is faster)", 14))
    x = 10
    for threads in all_threads:
        out.append(f'<rect x="{x}" y="30" width="12" height="12" fill="{color[threads]}"/>')
        out.append(text(x + 17, 40, f"{threads} thread" + ("s" if threads > 1 else "")))
        x += 100
    out.append(text(x, 40, "red name: a rival is first", color=BEHIND))
    for tick in (0.25, 0.35, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32):
        if low <= math.log2(tick) <= high:
            stroke = 'stroke="#222" stroke-width="1.5"' if tick == 1 else 'stroke="#ddd"'
            out.append(
                f'<line x1="{at(tick):.1f}" y1="{TOP - 4}" x2="{at(tick):.1f}" y2="{height - 16}" {stroke}/>'
            )
            out.append(text(at(tick), TOP - 8, f"{tick:g}", 11, "middle", "#555"))
    y = TOP
    for case, several in groups.items():
        out.append(text(LEFT - 8, y + ROW / 2 + 2, case, 12 if several else 14, "end"))
        for i, (threads, rival, ratio) in enumerate(several):
            top = y + 3 + i * (BAR + 1)
            left, right = sorted((at(1), at(ratio)))
            out.append(
                f'<rect x="{left:.1f}" y="{top}" width="{right - left:.1f}" height="{BAR}" fill="{color[threads]}"/>'
            )
            out.append(
                text(
                    max(right, at(1)) + 4,
                    top + 10,
                    f"{ratio:.2f} {rival}",
                    10,
                    color="#222" if ratio >= 1 else BEHIND,
                )
            )
        y += ROW
    out.append("</svg>")
    return "\n".join(out) + "\n"
