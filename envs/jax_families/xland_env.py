"""XLand's worlds (Nikulin et al. 2312.12044): many trials under rules that are to be found out."""

import importlib
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box, Tuple

from rlseq.envs.jax_families.adapter import Outcome
from rlseq.envs.jax_families.xminigrid import XLAND
from rlseq.envs.jax_families.xminigrid_env import Limit, MiniGrid, seen
from rlseq.fields import OneOf, Range
from rlseq.types import PyTree

# The benchmarks of the package's authors, which it downloads, and rules that are drawn here.
DRAWN = "drawn"
RULESETS = (
    DRAWN, "trivial-21k", "small-1m", "medium-1m", "medium-3m", "high-1m", "high-3m",
)  # fmt: skip
HOLD, NEAR, TILE_NEAR = 1, 3, 4  # the package's numbers of goals
_COLORS = (1, 2, 3, 4, 5, 6, 9)
# Ball, square, pyramid and key can be carried; the goal's tile, behind them, cannot.
TILES = np.array([(tile, color) for tile in (3, 4, 5, 7, 6) for color in _COLORS], np.uint8)
MOVABLE = 4 * len(_COLORS)


class Trials(NamedTuple):
    """The state of an episode."""

    rules: Any  # the package's RuleSet
    timestep: Any  # the package's, of the running trial
    trial: jax.Array  # int32 [], trials that are over


class XLand(MiniGrid):
    """`num_trials` trials in a world whose goal and rules are drawn once an episode.

    obs: (int32 [50], tile and colour of each of 5 x 5 cells; float32 [2], the reward of the step
    before and 1 where it ended a trial). A trial ends with its goal, or after `trial_steps` steps,
    by default the package's three times the area; the next one begins in the same step, with
    objects and agent elsewhere. The last one terminates, and there alone is a reset.

    `rulesets="drawn"` draws one of the three goals of the trivial benchmark, among three objects
    of no use; other names are the package's benchmarks, which it downloads, of which the first
    `num_rulesets` are used.
    """

    can_truncate = False

    def __init__(
        self,
        name: Annotated[str, OneOf(XLAND)],
        num_trials: Annotated[int, Range(1, 1000)] = 4,
        trial_steps: Limit = None,
        rulesets: Annotated[str, OneOf(RULESETS)] = DRAWN,
        num_rulesets: Annotated[int, Range(1, 3_000_000)] = 10_000,
    ):
        self._make(name, trial_steps)
        wrappers = importlib.import_module("xminigrid.wrappers")
        self.package = wrappers.GymAutoResetWrapper(self.package)
        self.num_trials = num_trials
        self.max_steps = num_trials * self.settings.max_steps
        self.benchmark = None if rulesets == DRAWN else _loaded(rulesets, num_rulesets)

    def reset_with(self, key: jax.Array) -> tuple[PyTree, Trials]:
        rules_key, start_key = jax.random.split(key)
        if self.benchmark is None:
            rules = drawn(rules_key)
        else:
            rules = self.benchmark.sample_ruleset(rules_key)
        timestep = self.package.reset(self.settings.replace(ruleset=rules), start_key)
        shown = seen(timestep), jnp.zeros(2, jnp.float32)
        return shown, Trials(rules, timestep, jnp.zeros((), jnp.int32))

    def step_with(self, key: jax.Array, inner: Trials, action: jax.Array) -> Outcome:
        settings = self.settings.replace(ruleset=inner.rules)
        timestep = self.package.step(settings, inner.timestep, action)
        ended = timestep.last()
        inner = Trials(inner.rules, timestep, inner.trial + ended.astype(jnp.int32))
        happened = jnp.stack([timestep.reward, ended]).astype(jnp.float32)
        shown = seen(timestep), happened
        return Outcome(shown, inner, timestep.reward, inner.trial >= self.num_trials)

    def observation_space(self, params: Any) -> Any:
        return Tuple((super().observation_space(params), Box(0.0, 1.0, (2,), jnp.float32)))

    def pictures(self, obs: PyTree) -> np.ndarray:
        """What the agent sees, without the reward of the step before."""
        return super().pictures(obs[0])


def drawn(key: jax.Array) -> Any:
    """A RuleSet without rules: hold a tile, stand beside one, or put one beside another.

    Its tiles, padded with empty ones, are followed by three others; all are distinct.
    """
    rules = importlib.import_module("xminigrid.core.rules")
    types = importlib.import_module("xminigrid.types")
    goal_key, carried_key, order_key = jax.random.split(key, 3)
    goal = jax.random.choice(goal_key, jnp.asarray((HOLD, NEAR, TILE_NEAR)))
    carried = jax.random.randint(carried_key, (), 0, MOVABLE)
    order = jax.random.permutation(order_key, len(TILES))
    order = order[jnp.argsort(order == carried, stable=True)]  # it comes last
    tiles = jnp.asarray(TILES)
    none = jnp.zeros(2, jnp.uint8)
    one, other = tiles[carried], tiles[order[0]]
    first = jnp.where(goal == HOLD, one, other)
    second = jnp.where(goal == TILE_NEAR, one, none)
    encoded = jnp.concatenate([goal.astype(jnp.uint8)[None], first, second])
    placed = jnp.concatenate([first[None], second[None], tiles[order[1:4]]])
    return types.RuleSet(goal=encoded, rules=rules.EmptyRule().encode()[None], init_tiles=placed)


def _loaded(name: str, count: int) -> Any:
    """The first `count` rulesets of a benchmark of the package, which downloads it once."""
    benchmark = importlib.import_module("xminigrid").load_benchmark(name)
    return jax.tree.map(lambda x: jnp.asarray(x[:count]), benchmark)
