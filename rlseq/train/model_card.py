"""The model card: README.md of a model folder, with the header that the Hugging Face Hub reads."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import yaml

from rlseq import plugins
from rlseq.config import NO_MODEL, Config
from rlseq.errors import InputError, shown
from rlseq.train import episodes
from rlseq.train.episodes import GREEDY, Protocol
from rlseq.train.logging import Row
from rlseq.train.runs import PACKAGES
from rlseq.train.summary import standard_error

_TASK = {"type": "reinforcement-learning", "name": "reinforcement-learning"}
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_ENVIRONMENT = ("python", *PACKAGES, "platform", "cpu", "device kind", "environment settings")


class Facts(NamedTuple):
    """What a card says."""

    config: Config  # without paths, of one seed
    command: str | None
    step: int  # of the checkpoint
    seed_index: int  # among `seeds`
    seeds: int  # of the run
    parameters: int
    spaces: tuple[str, str]  # of observations and actions
    environment: dict[str, str]  # of the run, as env.txt has it
    rows: Sequence[Row]  # episodes of this seed and step
    licence: str | None
    init_from: str | None
    plugins: Sequence[str]  # files and modules that are needed
    program: bool  # whether policy.stablehlo is there


class Score(NamedTuple):
    """All episodes of one protocol."""

    protocol: Protocol
    returns: np.ndarray  # [N] float64
    lengths: np.ndarray  # [N]


def licence_of(text: str) -> str:
    """An identifier of the Hub, as apache-2.0. Raises InputError for what can be none."""
    name = text.strip().lower()
    if not _LICENCE.fullmatch(name):
        raise InputError(f"a licence is an identifier like apache-2.0 or mit, got {shown(text)}")
    return name


def card(facts: Facts) -> str:
    """The whole README.md."""
    scored = scores(facts.rows)
    header = yaml.safe_dump(_header(facts, scored), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{header}---\n\n# {title(facts.config)}\n", _about(facts), _scores(scored)]
    return "\n".join([*parts, _use(facts), _training(facts), _environment(facts)])


def title(config: Config) -> str:
    """Agent, core and environment, as "ppo-s5-RepeatPreviousEasy"."""
    env = plugins.bare(config.env.id).rpartition(":")[2]
    names = [plugins.bare(part["name"]).rpartition(":")[2] for part in (config.agent, config.core)]
    return "-".join([*names, env.replace("/", "-")])


def scores(rows: Sequence[Row]) -> list[Score]:
    """The evaluations of one seed and step, those of one protocol together; no episode twice."""
    found: dict[Protocol, list[Row]] = {}
    for evaluation in episodes.evaluations(rows):
        sound = [row for row in evaluation.rows if row["return"] is not None]
        found.setdefault(evaluation.protocol, []).extend(sound)
    return [
        Score(
            protocol,
            np.array([row["return"] for row in own], np.float64),
            np.array([row["length"] for row in own]),
        )
        for protocol, own in found.items()
        if own
    ]


def _header(facts: Facts, scored: list[Score]) -> dict[str, Any]:
    config = facts.config
    names = [plugins.bare(part["name"]) for part in (config.agent, config.core)]
    if config.world_model["name"] != NO_MODEL:
        names.append(plugins.bare(config.world_model["name"]))
    env = plugins.bare(config.env.id)
    tags = ["reinforcement-learning", "deep-reinforcement-learning", "rlseq", "jax", *names, env]
    header: dict[str, Any] = {"library_name": "rlseq"}
    if facts.licence is not None:
        header["license"] = facts.licence
    header |= {"pipeline_tag": "reinforcement-learning", "tags": list(dict.fromkeys(tags))}
    results = [
        {
            "task": dict(_TASK),
            "dataset": {"name": env, "type": env},
            "metrics": [
                {
                    "type": "mean_reward",
                    "name": f"mean_reward, {_mode(score)}, {score.returns.size} episodes",
                    # As others write it: the deviation of an episode, not the mean's error.
                    "value": f"{score.returns.mean():.4g} +/- {score.returns.std():.2g}",
                    "verified": False,
                }
            ],
        }
        for score in scored
    ]
    if results:
        header["model-index"] = [{"name": title(config), "results": results}]
    return header


def _mode(score: Score) -> str:
    return "likeliest actions" if score.protocol.mode == GREEDY else "sampled actions"


def _about(facts: Facts) -> str:
    config, (obs, action) = facts.config, facts.spaces
    agent, core = (plugins.bare(part["name"]) for part in (config.agent, config.core))
    text = (
        f"A policy of the agent `{agent}` with the core `{core}`, trained by rlseq on "
        f"`{plugins.bare(config.env.id)}` for {facts.step:,} environment steps: seed {config.seed}"
    )
    if facts.seeds > 1:
        text += f", number {facts.seed_index} of the {facts.seeds} of its run, counted from 0"
    text += f". It acts with {facts.parameters:,} numbers.\n\n"
    text += f"Observations are {obs}, actions {action}.\n"
    if facts.plugins:
        names = ", ".join(f"`{name}`" for name in facts.plugins)
        text += (
            f"\nIt needs code that is not part of rlseq and not in this folder: {names}. None is "
            "imported without being named: `plugins=[...]` in Python, `--plugins` in commands.\n"
        )
    return text


def _scores(scored: list[Score]) -> str:
    if not scored:
        return "## Scores\n\nThis checkpoint was not evaluated.\n"
    lines = [
        "## Scores\n",
        "| actions | episodes | mean return | its standard error | deviation of an episode | mean "
        "length | steps at most |",
        "|---|---|---|---|---|---|---|",
    ]
    for score in scored:
        returns, limit = score.returns, score.protocol.max_steps
        cells = [
            _mode(score).partition(" ")[0], f"{returns.size}", f"{returns.mean():.4g}",
            f"{standard_error(returns):.2g}", f"{returns.std():.2g}",
            f"{score.lengths.mean():.4g}", "none" if limit is None else f"{limit:,}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("\nEvery episode is in `episodes.jsonl`. In the header `+/-` is the deviation.\n")
    return "\n".join(lines)


def _use(facts: Facts) -> str:
    given = f", plugins={list(facts.plugins)}" if facts.plugins else ""
    flags = f" --plugins {','.join(facts.plugins)}" if facts.plugins else ""
    text = f"""## Use

```python
import rlseq

policy = rlseq.load_policy("FOLDER"{given})  # this folder, e.g. of `rlseq pull REPO_ID --to FOLDER`
carry, action = policy(None, obs)  # the first step of an episode: one observation, or a batch
carry, action = policy(carry, obs)  # and on; key=jax.random.key(...) samples
```

```
rlseq eval FOLDER{flags}
rlseq train init_from=FOLDER ...
```
"""
    if facts.program:
        text += (
            "\n`policy.stablehlo` is one step of the policy for JAX alone, without rlseq; "
            "`policy.json` says what goes in and out.\n"
        )
    return text


def _training(facts: Facts) -> str:
    lines = ["## Training\n"]
    if facts.command is not None:
        lines.append(f"```\n{facts.command}\n```\n")
    lines.append("All settings are in `config.yaml`.")
    if facts.init_from is not None:
        lines.append(f"Training began with the weights of `{facts.init_from}`.")
    commit = facts.environment.get("commit", "unknown")
    lines.append(f"Commit of rlseq: {commit}. Started: {facts.environment.get('started', '?')}.\n")
    return "\n".join(lines)


def _environment(facts: Facts) -> str:
    known = [(name, facts.environment[name]) for name in _ENVIRONMENT if name in facts.environment]
    rows = [f"| {name} | {value.replace('|', '/')} |" for name, value in dict(known).items()]
    return "\n".join(["## Environment\n", "| | |", "|---|---|", *rows]) + "\n"
