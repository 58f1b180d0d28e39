"""Stands in for ``harness train FILE --out DIR --quiet``: the same run folder and manners, in milliseconds.

The dev curve is a fixed function of the settings, so that a sweep is repeatable: it saturates where the
learning rate decides (best at 1e-3). How it misbehaves is told by the environment variable FAKE, as JSON:

    always_crash, nan, silent, ignore_stop    true or not there
    crash_at (once per trial), diverge, hang  at this step
    hold                                      at this step, until TRIAL/go is there
    delay                                     seconds a step
    samples_for                               seconds of sampling at step 5: no metrics, but a heartbeat
    writes_for                                the same without a heartbeat, a file deep in the folder growing
    uneven                                    a seed: each experiment takes its own share of the delay
    only                                      how the names of the experiments concerned end
"""

import fcntl
import json
import math
import os
import random
import sys
import time
import tomllib
from pathlib import Path

BASE = 0.2


def main():
    file, folder = Path(sys.argv[1]), Path(sys.argv[3])
    experiment = tomllib.loads(file.read_text())
    fake = json.loads(os.environ.get("FAKE", "{}"))
    if not experiment["name"].endswith(fake.get("only", "")):
        fake = {}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the folder belongs to one process
        train(experiment, folder, fake)


def train(experiment, folder, fake):
    begin = resume(folder)
    set_status(folder, "running", "")
    if fake.get("always_crash"):
        raise SystemExit("it always crashes")
    stage = experiment["stages"][0]
    pace = random.Random(experiment["name"] + fake["uneven"]).random() if "uneven" in fake else 1.0
    for step in range(begin + 1, stage["steps"] + 1):
        if (folder / "stop").exists() and not fake.get("ignore_stop"):
            set_status(folder, "pruned", (folder / "stop").read_text())
            return
        time.sleep(fake.get("delay", 0.0) * pace)
        misbehave(step, folder, fake)
        row = {"step": step, "stage": "grpo", "time": time.time(), "reward": 0.5}
        row |= {"length": 10 * stage["group_size"] + step, "kl": 0.01 * stage["group_size"]}
        if step % stage["eval_every"] == 0 and not fake.get("silent"):
            value = None if fake.get("nan") else height(stage, step) + 0.001 * math.sin(experiment["seed"])
            row |= {"dev/pass@1": value, "dev/stderr": 0.01}
        with (folder / "metrics.jsonl").open("a") as metrics:
            metrics.write(json.dumps(row) + "\n")
        (folder / f"checkpoints/step-{step}").mkdir(parents=True, exist_ok=True)
        (folder / f"checkpoints/step-{step}/weights").touch()
    set_status(folder, "done", "")


def misbehave(step, folder, fake):
    for seconds, path in ((fake.get("samples_for"), ".alive"), (fake.get("writes_for"), "evals/a/b.jsonl")):
        until = time.monotonic() + seconds if seconds and step == 5 else 0.0
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        while time.monotonic() < until:
            with (folder / path).open("a") as growing:
                growing.write(".")
            time.sleep(0.05)
    if step == fake.get("hang"):
        time.sleep(1000)
    while step == fake.get("hold") and not (folder.parent / "go").exists():
        time.sleep(0.01)
    if step == fake.get("crash_at") and not (folder.parent / "crashed").exists():
        (folder.parent / "crashed").touch()
        os._exit(3)
    if step == fake.get("diverge"):
        set_status(folder, "failed", "the loss is not a number")
        raise SystemExit(1)


def height(stage, step):
    gain = 0.6 * math.exp(-((math.log10(stage["learning_rate"]) + 3) ** 2) / 2)
    return BASE + gain * (1 - math.exp(-4 * step / stage["steps"]))


def resume(folder):
    """Goes on from the newest checkpoint, as the trainer does: metrics behind it are cut off."""
    begin = max(
        (int(p.name.removeprefix("step-")) for p in (folder / "checkpoints").glob("step-*")), default=-1
    )
    metrics = folder / "metrics.jsonl"
    if metrics.exists():
        lines = [line for line in metrics.read_text().splitlines() if json.loads(line)["step"] <= begin]
        aside = folder / "metrics.aside"
        aside.write_text("".join(line + "\n" for line in lines))
        aside.replace(metrics)
    return begin


def set_status(folder, state, reason):
    aside = folder / "status.aside"
    aside.write_text(json.dumps({"state": state, "reason": reason, "time": time.time()}))
    aside.replace(folder / "status.json")


main()
