#!/usr/bin/env python3
"""Runs unisono and its peers in turns on this machine and prints who trains how fast.

Standard library only; the peers need requirements.txt, in the Python named by --python. What cannot
be run is left out, with a word on why. Every program first runs once for every way to set it up
(threads, variants); the rounds that count then take its fastest, one program after the other, so that
whatever else the machine does meets all of them.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys

from workloads import WORKLOADS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Each peer's file, and the variants of which the fastest stands for it.
PEERS = {
    "jax": ("jax_scan.py", ["default"]),
    "pytorch": ("pytorch.py", ["eager", "compile"]),
    "pytorch-bfloat16": ("pytorch.py", ["bfloat16"]),
    "scikit-learn": ("sklearn_mlp.py", ["default"]),
    "rustyml": ("rustyml", ["default"]),  # a folder: a Rust program of its own
}


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--threads", help="thread counts to choose from, as in 1,2 (default: 1 and all)")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers")
    parser.add_argument("--timeout", type=float, default=600, help="seconds a run may take")
    parser.add_argument("--json", default="peers.json", help="where every reading is written")
    parser.add_argument("--quick", action="store_true", help="two short rounds, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 2, min(options.seconds, 0.5)
    for name, known in (("workloads", WORKLOADS), ("peers", PEERS)):
        chosen = [item for item in getattr(options, name).split(",") if item]
        wrong = [item for item in chosen if item not in known]
        if wrong:
            parser.error(f"--{name}: expected some of {', '.join(known)}, found {wrong[0]}")
        setattr(options, name, chosen)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = options.threads or f"1,{cores}"
    options.threads = sorted({int(count) for count in threads.split(",")})
    return options


def build(folder, *what, native=False):
    """Builds a program and returns where it lies; a native one for this machine's processor, as other
    peers' kernels are, unless RUSTFLAGS come from outside."""
    command = ["cargo", "build", "--release", *what]
    command += ["--message-format", "json-render-diagnostics"]
    environment = dict(os.environ)
    if native:
        command += ["--target-dir", str(ROOT / "target" / "native")]
        environment.setdefault("RUSTFLAGS", "-C target-cpu=native")
    output = subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    messages = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [message["executable"] for message in messages if message.get("executable")][-1]


def reading(command, timeout):
    """Runs a program and returns the JSON of its last line, or an error's last line."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=HERE)
    except subprocess.TimeoutExpired:
        return None, f"took longer than {timeout:g} s"
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    if run.returncode or not lines:
        errors = run.stderr.strip().splitlines() or [f"exit code {run.returncode}"]
        return None, errors[-1]
    return json.loads(lines[-1]), None


def unisono(program, name, epochs, threads):
    """The command line of unisono on a workload, with so many threads at most."""
    workload = WORKLOADS[name]
    kind = "classification" if workload.task == "classes" else "regression"
    command = [program, "--json", "--data", f"synthetic-{kind}:{workload.rows}"]
    command += ["--layers", ",".join(map(str, workload.layers))]
    command += ["--activation", workload.activation]
    command += ["--loss", "cross-entropy" if workload.task == "classes" else "mse"]
    command += ["--optimizer", "adam", "--lr", "0.001", "--batch", str(workload.batch)]
    return command + ["--warmup-epochs", "1", "--epochs", str(epochs), "--threads", str(threads)]


def peer_command(options, peer, variant, threads, name):
    """The command line of a peer on a workload."""
    script, _ = PEERS[peer]
    setup = ["--threads", str(threads), "--seconds", str(options.seconds)]
    if script.endswith(".py"):
        command = [options.python, str(HERE / script), "--workload", name, "--variant", variant]
        return command + setup
    workload = WORKLOADS[name]
    command = [options.programs[peer], "--layers", ",".join(map(str, workload.layers))]
    command += ["--activation", workload.activation, "--task", workload.task]
    return command + ["--batch", str(workload.batch), "--rows", str(workload.rows)] + setup


class Contest:
    """One workload: who takes part, in their fastest setup, and what they reached."""

    def __init__(self, options, program, name):
        self.options, self.name = options, name
        self.commands, self.readings, self.left_out = {}, {}, {}
        self.prepare_unisono(program)
        for peer in options.peers:
            self.prepare_peer(peer)

    def prepare_unisono(self, program):
        # It may take as many threads as its peers, and chooses itself; how many epochs fill the time, the
        # first run tells.
        epochs, seconds, most = 1, self.options.seconds, max(self.options.threads)
        while True:
            first, error = reading(unisono(program, self.name, epochs, most), self.options.timeout)
            if error:
                sys.exit(f"unisono on {self.name}: {error}")
            if first["epoch_s"] * epochs > seconds / 20:
                break
            epochs *= 10
        epochs = max(1, math.ceil(seconds / first["epoch_s"]))
        self.commands["unisono"] = unisono(program, self.name, epochs, most)

    def prepare_peer(self, peer):
        best, errors = None, []
        for variant in PEERS[peer][1]:
            for threads in self.options.threads:
                command = peer_command(self.options, peer, variant, threads, self.name)
                found, error = reading(command, self.options.timeout)
                if error:
                    errors.append(f"{variant}: {error}")
                    break  # it would fail with other threads too
                if best is None or found["rows_per_s"] > best[0]:
                    best = (found["rows_per_s"], command)
        if best:
            self.commands[peer] = best[1]
        if errors:
            self.left_out[peer] = "; ".join(errors)

    def round(self, number):
        """Everyone once, beginning with another one each time."""
        names = list(self.commands)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found, error = reading(self.commands[name], self.options.timeout)
            if error:
                earlier = [self.left_out[name]] if name in self.left_out else []
                self.left_out[name] = "; ".join([*earlier, f"failed in round {number + 1}: {error}"])
            self.readings.setdefault(name, []).append(found)

    def rates(self, name):
        return [found["rows_per_s"] for found in self.readings.get(name, []) if found]

    def ratios(self, peer):
        """How many times as fast unisono was, round by round."""
        rounds = zip(self.readings.get("unisono", []), self.readings.get(peer, []))
        return [ours["rows_per_s"] / theirs["rows_per_s"] for ours, theirs in rounds if ours and theirs]


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions(contests):
    found = {"rustc": subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()[1]}
    for contest in contests:
        for readings in contest.readings.values():
            for reading in filter(None, readings):
                found.update(reading.get("versions", {}))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {"unisono": commit.stdout.strip() or "unknown", **found}


def table(options, contests, facts):
    """The comparison in Markdown: medians, and the smallest and largest ratio of a round."""
    lines = [
        f"{facts['date']}, {facts['processor']}, {facts['cores']} cores, {options.rounds} rounds; "
        + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        "",
        "Rows a second (threads), and how many times as fast unisono was (smallest to largest of the rounds).",
        "",
        "| workload | unisono | " + " | ".join(options.peers) + " |",
        "|---|---|" + "---|" * len(options.peers),
    ]
    for contest in contests:
        cells = [contest.name]
        for name in ["unisono", *options.peers]:
            rates = contest.rates(name)
            if not rates:
                cells.append("–")
                continue
            last = [found for found in contest.readings[name] if found][-1]
            variant = last.get("variant", "default")
            setup = str(last["threads"]) + ("" if variant == "default" else f", {variant}")
            cell = f"{statistics.median(rates):,.0f} ({setup})"
            ratios = contest.ratios(name) if name != "unisono" else []
            if ratios:
                cell += f": **{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
            cells.append(cell)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(path, facts, contests):
    """All readings so far, that a broken run loses none."""
    runs = {contest.name: contest.readings for contest in contests}
    left_out = {contest.name: contest.left_out for contest in contests}
    text = json.dumps({**facts, "readings": runs, "left_out": left_out}, indent=1)
    pathlib.Path(path).write_text(text + "\n")


def main():
    options = read_options()
    program = build(ROOT, "--example", "throughput", "--package", "unisono")
    scripts = {peer: PEERS[peer][0] for peer in options.peers if not PEERS[peer][0].endswith(".py")}
    options.programs = {peer: build(HERE / folder, native=True) for peer, folder in scripts.items()}
    contests = []
    for name in options.workloads:
        print(f"{name}: choosing everyone's fastest setup", file=sys.stderr)
        contests.append(Contest(options, program, name))
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for contest in contests:
            contest.round(number)
        facts = {
            "date": datetime.date.today().isoformat(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "versions": versions(contests),
        }
        write(options.json, facts, contests)
    print(table(options, contests, facts))
    compared = False
    for contest in contests:
        for peer, why in contest.left_out.items():
            print(f"missing of {peer} on {contest.name}: {why}", file=sys.stderr)
        compared |= any(contest.ratios(peer) for peer in options.peers)
    if not compared:
        sys.exit(f"no peer could be run: does {options.python} have requirements.txt? --python names another")


main()
