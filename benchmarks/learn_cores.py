"""Train PPO with one core after another on a POPGym task: `python learn_cores.py results/cores`.

Each core is one `rlseq train` and one `rlseq eval` in processes of their own. What OUT holds is
not run again: the script may be stopped at any time and started anew. OUT/CORE keeps the raw
curve (step, seconds, return), the episodes of the evaluation, the configuration and the hardware;
OUT/README.md is the table of all.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rlseq

THRESHOLD = 0.9
KEPT = ("step", "seconds", "return")
COLUMNS = ("core", "evaluation", "steps to 0.9", "seconds to 0.9", "best training return")
COLUMNS += ("steps", "ended", "whole process, s", "options")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("cores", nargs="*", help="all that are registered, if none is given")
    parser.add_argument("--env", default="popgym:RepeatPreviousEasy")
    parser.add_argument("--total-steps", type=int, default=1_200_000)
    parser.add_argument("--minutes", type=float, default=30.0, help="limit of one core")
    parser.add_argument("--stop-at", type=float, help="mean training return that ends a run")
    parser.add_argument("--options", nargs="*", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    for core in args.cores or rlseq.core_names():
        if not (args.out / core / "row.json").exists():
            _run(core, args)
        _table(args.out)


def _run(core: str, args: argparse.Namespace) -> None:
    options = [f"env.id={args.env}", f"core={core}", f"total_steps={args.total_steps}"]
    command = ["rlseq", "train", "experiment=popgym_ppo", *options, *args.options]
    own = "run.eval_episodes=0"  # `rlseq eval` plays, also where a run is stopped early
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        start = time.perf_counter()
        process = subprocess.Popen([*command, own, f"run.dir={run}"])
        ended = _wait(process, run / "metrics.jsonl", args)
        took = time.perf_counter() - start
        if not (run / "metrics.jsonl").exists():
            print(f"{core}: {ended}, nothing was logged", file=sys.stderr)
            return
        subprocess.run(["rlseq", "eval", str(run), "--episodes", "128"], check=True)
        _keep(run, args.out / core, " ".join(command), took, ended)


def _wait(process: subprocess.Popen, log: Path, args: argparse.Namespace) -> str:
    """How the run ended; one that is good enough or late is asked to save and leave."""
    limit = time.monotonic() + 60 * args.minutes
    while process.poll() is None:
        time.sleep(1)
        best = max((r["return"] or -1 for r in _lines(log)), default=-1) if log.exists() else -1
        late = time.monotonic() > limit
        if late or (args.stop_at is not None and best >= args.stop_at):
            process.send_signal(signal.SIGTERM)
            process.wait()
            return f"stopped after {args.minutes:g} minutes" if late else f"stopped at {best:.3f}"
    return "completed" if process.returncode == 0 else f"exit code {process.returncode}"


def _keep(run: Path, out: Path, command: str, took: float, ended: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    curve = [{key: row[key] for key in KEPT} for row in _lines(run / "metrics.jsonl")]
    (out / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))
    for name in ("env.txt", "episodes.jsonl"):
        if (run / name).exists():
            shutil.copy(run / name, out / name)
    config = (run / "config.yaml").read_text().splitlines()
    local = [line for line in config if not line.strip().startswith(("dir:", "root:"))]
    (out / "config.yaml").write_text("\n".join(local) + "\n")
    passed = next((r for r in curve if (r["return"] or -1) >= THRESHOLD), None)
    episodes = _lines(run / "episodes.jsonl") if (run / "episodes.jsonl").exists() else []
    last = [e["return"] for e in episodes if e["step"] == curve[-1]["step"]]
    row = {
        "core": out.name,
        "command": command,
        "seed": 0,
        "ended": ended,
        "evaluation": round(sum(last) / len(last), 4) if last else None,
        "steps to 0.9": passed and passed["step"],
        "seconds to 0.9": passed and passed["seconds"],
        "best training return": max(r["return"] or -1 for r in curve),
        "steps": curve[-1]["step"],
        "whole process, s": round(took, 1),
    }
    (out / "row.json").write_text(json.dumps(row, indent=1) + "\n")


def _lines(path: Path) -> list[dict]:
    """The rows of a file whose last line may still be on its way."""
    *whole, _ = path.read_text().split("\n")
    return [json.loads(line) for line in whole]


def _table(out: Path) -> None:
    """README.md: all rows, and OUT/notes.md below them where somebody wrote it."""
    rows = [json.loads(path.read_text()) for path in sorted(out.glob("*/row.json"))]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        command, options = row["command"].split(f"core={row['core']} ")
        row = row | {"options": f"`{options}`"}
        lines.append("| " + " | ".join(_text(row[column]) for column in COLUMNS) + " |")
    head = f"# Cores in PPO\n\nEach with `{command}core=CORE OPTIONS` (seed 0).\n\n"
    note = (
        "\nSeconds to 0.9 count training without compilation, from each run's own log; the whole\n"
        "process has imports and compilation in it. Raw data lie in the folder of each core.\n"
    )
    written = out / "notes.md"
    note += "\n" + written.read_text() if written.exists() else ""
    (out / "README.md").write_text(head + "\n".join(lines) + "\n" + note)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


if __name__ == "__main__":
    main()
