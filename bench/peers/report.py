# SPDX-License-Identifier: Apache-2.0
"""Results as JSON, and from that as tables and a picture."""

import json
import time

import picture
from engines import ENGINES, FROM_PYTHON, NOT_RIVALS
from install import Failure

ACCURATE = 4  # ULP: elementwise functions that are as good as their libraries say


def is_training(record):
    return "train" in record["kind"]


def timed(record):
    """{engine: nanoseconds of a call} of those that were timed."""
    return {name: e["median_ns"] for name, e in record["engines"].items() if "median_ns" in e}


def best_rival(record):
    """(name, its time / sluice's), or None."""
    ns = timed(record)
    rivals = [name for name in ns if name not in NOT_RIVALS]
    if "sluice" not in ns or not rivals:
        return None
    best = min(rivals, key=ns.get)
    return best, ns[best] / ns["sluice"]


def us_per_unit(record, ns):
    return ns / record["units"] / 1000


def three_digits(number):
    return f"{number:.0f}" if number >= 1000 else f"{number:.3g}"


def one_line(record):
    times = ", ".join(
        f"{n} {three_digits(us_per_unit(record, t))}"
        for n, t in sorted(timed(record).items(), key=lambda item: item[1])
    )
    best = best_rival(record)
    verdict = f"; best rival / sluice {best[1]:.2f}" if best else ""
    return f"{record['case']} threads {record['threads']}: us a {record['unit']}: {times}{verdict}"


class Results:
    """What is in DIR, and what is added."""

    def __init__(self, folder, machine, fresh):
        self.folder, self.path = folder, folder / "peers.json"
        self.all = {"machine": machine, "cases": []}
        if self.path.exists() and not fresh:
            before = json.loads(self.path.read_text())
            for what in ("sluice_commit", "cpu", "cores"):
                if before["machine"][what] != machine[what]:
                    raise Failure(
                        f"{self.path} has results of another {what} ({before['machine'][what]}, now {machine[what]}): "
                        "--fresh forgets them, --out DIR keeps them"
                    )
            self.all = before

    def set_call_costs(self, costs):
        self.all.setdefault("call_cost_ns", {})
        for engine, by_threads in costs.items():
            self.all["call_cost_ns"].setdefault(engine, {}).update(by_threads)

    def add(self, record):
        """Also in the file at once, so that an interrupted run loses nothing."""
        key = (record["case"], record["threads"])
        self.all["cases"] = [r for r in self.all["cases"] if (r["case"], r["threads"]) != key]
        self.all["cases"].append(record | {"measured": time.strftime("%Y-%m-%dT%H:%M:%S")})
        self.save()

    def save(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        rest = {key: value for key, value in self.all.items() if key != "cases"}
        lines = ",\n".join(json.dumps(record) for record in self.all["cases"])  # a case a line
        self.path.write_text(f'{json.dumps(rest, indent=1)[:-2]},\n "cases": [\n{lines}\n]}}\n')

    def write(self, order):
        self.all["cases"].sort(key=lambda r: (order.index(r["case"]), r["threads"]))
        self.save()
        (self.folder / "peers.md").write_text(markdown(self.all))
        (self.folder / "peers.svg").write_text(picture.bars(bars_of(self.all)))
        print(
            f"Written: {self.path}, peers.md and peers.svg beside it. {verdict(self.all).split(';')[0].rstrip('.')}."
        )


def verdict(results):
    """Who is first, and where it is not sluice."""
    best = [(r, *best_rival(r)) for r in results["cases"] if best_rival(r)]
    lost = [f"{r['case']} on {r['threads']} ({name}, {ratio:.2f})" for r, name, ratio in best if ratio < 1]
    text = f"sluice is first in {len(best) - len(lost)} of {len(best)}"
    return f"{text}; behind in {len(lost)}: {', '.join(lost)}." if lost else f"{text}."


def bars_of(results):
    """For the picture: (title, [(label, threads, best rival, ratio)]) of what runs and of what trains."""
    sections = {"Running": [], "Training": []}
    for r in results["cases"]:
        if best_rival(r):
            title = "Training" if is_training(r) else "Running"
            sections[title].append((r["case"], r["threads"], *best_rival(r)))
    return [(title, entries) for title, entries in sections.items() if entries]


def table(header, rows):
    lines = ["| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines) + "\n"


def cell(record, engine):
    e = record["engines"].get(engine)
    if e is None or "unsupported" in e:
        return "-"
    if "not_timed" in e:
        return "not timed"
    if "median_ns" not in e:
        return "-"
    ours = timed(record).get("sluice")
    time_text = three_digits(us_per_unit(record, e["median_ns"]))
    return time_text if engine == "sluice" or ours is None else f"{time_text} ({e['median_ns'] / ours:.2f})"


def less_call(results, record, engine):
    """The ratio with the cost of a call from Python taken off."""
    ns = timed(record)
    cost = results.get("call_cost_ns", {}).get(engine, {}).get(str(record["threads"]))
    if engine not in ns or "sluice" not in ns or cost is None:
        return "-"
    calls = {"stream": record["units"], "models": record["units"] / record["threads"]}.get(record["kind"], 1)
    return f"{max(0.0, ns[engine] - calls * cost) / ns['sluice']:.2f}"


def share_of_peak(record):
    ours = timed(record).get("sluice")
    return (
        f"{100 * record['flops'] / ours / record['peak_gflops']:.0f} %" if ours and record["flops"] else "-"
    )


def first(record, among=None):
    """The fastest engine, of all or among those named."""
    ns = {n: t for n, t in timed(record).items() if n != "copy" and (among is None or n in among)}
    return min(ns, key=ns.get) if ns else "-"


def accurate(records, record):
    """The engines whose error in the function of this record is at most ACCURATE in each of its sizes."""
    function = record["case"].split("-")[0]
    same = [r for r in records if r["case"].split("-")[0] == function]
    return [e for e in ENGINES if all(r["engines"].get(e, {}).get("ulp", 0) <= ACCURATE for r in same)]


def comparison(results, records, engines, last_title, last):
    """`last`: what the last column says of a record."""
    python = [e for e in engines if e in FROM_PYTHON]
    header = [
        "case",
        "what",
        "threads",
        "us a",
        *engines,
        *(f"{e} less call" for e in python),
        "first",
        last_title,
    ]
    rows = []
    for r in records:
        rows.append([r["case"], r["description"], str(r["threads"]), r["unit"], *(cell(r, e) for e in engines),
                     *(less_call(results, r, e) for e in python), first(r), last(r)])  # fmt: skip
    return table(header, rows)


def shown(records, engines):
    """The engines that these records have something of."""
    return [
        e for e in engines if any(e in timed(r) or "not_timed" in r["engines"].get(e, {}) for r in records)
    ]


def errors(records, engines):
    rows = []
    for r in records:
        if r["threads"] == 1:
            ulp = (r["engines"].get(e, {}).get("ulp") for e in engines)
            rows.append([r["case"], *("-" if u is None else f"{u:.4g}" for u in ulp)])
    return table(["largest error in ULP", *engines], rows)


def settings(results, engines):
    rows = []
    for engine in engines:
        mine = [r["engines"][engine] for r in results["cases"] if engine in r["engines"]]
        versions = sorted({e["version"] for e in mine if e.get("version")})
        chosen = sorted({e["setting"] for e in mine if e.get("setting")})
        worst = max((e["error"] for e in mine if "error" in e), default=None)
        rows.append(
            [
                engine,
                ENGINES[engine][0],
                ", ".join(versions),
                "; ".join(chosen),
                "" if worst is None else f"{worst:.1e}",
            ]
        )
    return table(["engine", "what", "version", "settings chosen", "largest difference from float64"], rows)


def markdown(results):
    present = {
        name
        for r in results["cases"]
        for name, e in r["engines"].items()
        if "median_ns" in e or "not_timed" in e
    }
    engines = [e for e in ENGINES if e in present]
    elementwise = [r for r in results["cases"] if not r["flops"] and r["unit"] == "call"]
    training = [r for r in results["cases"] if is_training(r)]
    networks = [r for r in results["cases"] if r not in elementwise + training]
    machine = results["machine"]
    parts = ["# sluice and its rivals, measured in turn\n"]
    parts.append("Written by `bench/peers/run`; docs/peers.md says how. Every round is in peers.json.\n")
    parts.append(verdict(results) + "\n")
    disturbed = [f"{r['case']} on {r['threads']}" for r in results["cases"] if r["disturbed"]]
    if disturbed:
        parts.append("Other programs ran during these, to be measured again: " + ", ".join(disturbed) + ".\n")
    parts.append(
        "Microseconds, the median over rounds of each round's median; in brackets how many times sluice's.\n"
    )
    for title, records in (("Networks", networks), ("Training", training)):
        if records:
            parts.append(
                f"## {title}\n\n"
                + comparison(results, records, shown(records, engines), "sluice of FMA peak", share_of_peak)
            )
    if elementwise:
        has = shown(elementwise, engines)
        parts.append(
            "## Elementwise functions\n\nFrom one array to another; `copy` is memcpy, the bound of large ones.\n"
        )
        parts.append(
            comparison(
                results,
                elementwise,
                has,
                f"first within {ACCURATE} ULP",
                lambda r: first(r, accurate(elementwise, r)),
            )
        )
        parts.append(
            "A million inputs in [-20, 20] in the largest, what gates see (deviation 3) in the others:\n"
        )
        parts.append(errors(elementwise, [e for e in has if e != "copy"]))
    if results.get("call_cost_ns"):
        costs = [
            f"{e} {n / 1000:.2f} us on {t}"
            for e, by in results["call_cost_ns"].items()
            for t, n in by.items()
        ]
        parts.append(
            "## Cost of a call from Python\n\nOn an empty model: " + ", ".join(costs) + " thread(s).\n"
        )
    parts.append("## Engines\n\n" + settings(results, engines))
    wrong = [f"- {r['case']} on {r['threads']}, {name}: {e['not_timed']}"
             for r in results["cases"] for name, e in r["engines"].items() if "not_timed" in e]  # fmt: skip
    if wrong:
        parts.append("## Not timed\n\n" + "\n".join(wrong) + "\n")
    rows = [
        [k.replace("_", " "), ", ".join(v) if isinstance(v, list) else str(v)] for k, v in machine.items()
    ]
    parts.append("## Machine\n\n" + table(["", ""], rows))
    return "\n".join(parts)
