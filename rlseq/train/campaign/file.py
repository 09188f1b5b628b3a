"""`campaign.yaml`: environments, cores, agents and seeds of one experiment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlseq import config as configuration
from rlseq import config_yaml, overrides, plugins
from rlseq.config import Config
from rlseq.errors import InputError, check_names, shown
from rlseq.train.campaign import plan
from rlseq.train.campaign.plan import Entry, Variant
from rlseq.train.command import value_text

KEYS = ("experiment", "env.id", "core", "agent", "seeds", "overrides", "root")
_SET_HERE = {key: f"`{key}:`" for key in ("experiment", "env.id", "core", "agent", "seeds")}
_FOLDERS = {"run.dir": "`root:`", "run.root": "`root:`"}
_MOST_SEEDS = 4096


class Campaign(NamedTuple):
    """The jobs of a file, and the folder of their run folders."""

    root: Path
    entries: list[Entry]


def read(path: Path) -> Campaign:
    """The campaign of a YAML file.

    Raises InputError for an unknown key or name (with the nearest match), a value of another
    type, an override of a key that the file sets, and as `config.compose` for each combination.
    """
    raw = config_yaml.read(path)
    check_names(f"key in {path}:", raw, KEYS)
    words = _strings("overrides", raw.get("overrides") or [])
    plan.refuse(words, _SET_HERE | _FOLDERS)
    if isinstance(raw.get("seeds"), list):
        plan.refuse(words, {"seed": "`seeds:`"})
    words = plan.saving_every_chunk(words)
    if (experiment := raw.get("experiment")) is not None:
        words.insert(0, f"experiment={_string('experiment', experiment)}")
    root = Path(overrides.place("root", raw.get("root", f"runs/{path.stem}")))
    composed = configuration.compose([*words, *_any_of_each(raw)])
    ids = _strings("env.id", raw.get("env.id") or composed.env.id)
    seeds = _seeds(raw.get("seeds", 1), composed.seed)
    variants = _variants(raw, composed)
    return Campaign(root, plan.entries(words, plan.matching(ids), variants, seeds, root))


def _any_of_each(raw: dict[str, Any]) -> list[str]:
    """Words of the first core and agent, since an experiment alone may not go with overrides."""
    groups = [group for group in ("core", "agent") if raw.get(group)]
    return [word for group in groups for word in _variants_of(group, raw[group])[0].words]


def _variants(raw: dict[str, Any], composed: Config) -> list[Variant]:
    """Every core with every agent."""
    both = [
        _variants_of(group, raw[group])
        if raw.get(group)
        else [Variant((plugins.bare(getattr(composed, group)["name"]),), [])]
        for group in ("core", "agent")
    ]
    return [
        Variant((*core.labels, *agent.labels), [*core.words, *agent.words])
        for core in both[0]
        for agent in both[1]
    ]


def _variants_of(group: str, value: Any) -> list[Variant]:
    """Of `gru`, `[gru, s5]` or `[{name: s5, layers: 2}]`: its label says what was set."""
    return [_variant(group, one) for one in (value if isinstance(value, list) else [value])]


def _variant(group: str, value: Any) -> Variant:
    options = dict(value) if isinstance(value, dict) else {"name": value}
    name = _string(f"{group}: name", options.pop("name", None))
    words = [f"{group}={name}"]
    words += [f"{group}.{key}={value_text(one)}" for key, one in options.items()]
    label = "-".join(
        [plugins.bare(name), *(f"{key}={_label(one)}" for key, one in options.items())]
    )
    return Variant((label,), words)


def _label(value: Any) -> str:
    """A value in the name of a folder."""
    kept = [sign if sign.isalnum() or sign in "._" else "_" for sign in str(value)]
    return "".join(kept).strip("_")


def _seeds(value: Any, first: int) -> Sequence[int]:
    """`3` counts on from the experiment's seed, `[0, 7]` names them."""
    if isinstance(value, list) and value and all(type(one) is int for one in value):
        return value
    if type(value) is not int or not 1 <= value <= _MOST_SEEDS:
        raise InputError(
            f"seeds must be a whole number from 1 to {_MOST_SEEDS} or a list of whole numbers, "
            f"got {shown(value)}"
        )
    return range(first, first + value)


def _strings(key: str, value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [_string(key, one) for one in listed]


def _string(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{key} must be a text or a list of texts, got {shown(value)}")
    return value
