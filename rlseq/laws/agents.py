"""The laws of agents (CONTRIBUTING.md, "Laws"), each of one `Case`: see `rlseq.types.Agent`."""

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.laws import hold
from rlseq.laws.trees import arrays, close, differ, same
from rlseq.train import build, checkpoint, sharding
from rlseq.types import Agent, Metrics, Params, PyTree
from rlseq.world_models.types import AgentWithModel

METRICS = {"return", "length", "episodes", "valid_steps", "finite"}
NO_LOSS = "train names no loss/..."
SEEDS = 2
DEVICES = 4  # of the law about a mesh
DRAWS = 512  # actions for each observation: an agent may explore in one step of a hundred
KEY = 0  # of everything


class Case(NamedTuple):
    """An agent with a memory, on an even number of environments; no other axis has that length."""

    agent: Agent
    fresh: Any  # its first state
    trained: Any  # after one update
    metrics: Metrics  # of it


def case(agent: Agent) -> Case:
    """A case of an agent; it is trained for one update."""
    fresh = agent.init(jax.random.key(KEY))
    return Case(agent, fresh, *agent.train(fresh, 1))


def settings_have_defaults(agent: object, config: type) -> None:
    """It has what `rlseq.types.Agent` asks for; settings can be made without arguments and hashed,
    and never change."""
    hold(isinstance(agent, Agent), "it lacks something of rlseq.types.Agent")
    hold(isinstance(getattr(agent, "steps_per_update", None), int), "steps_per_update is no int")
    hold(config() == config() and isinstance(hash(config()), int), "two Config() are not equal")
    hold(dataclasses.is_dataclass(config), "Config is no dataclass")
    frozen = config.__dataclass_params__.frozen  # type: ignore[attr-defined]
    hold(frozen, "Config is a dataclass that is not frozen")


def two_halves_equal_the_whole(c: Case) -> None:
    """Training twice equals training once for as long, bit for bit; each time something is
    learned, and the updates are counted."""
    whole, metrics = c.agent.train(c.fresh, 2)
    same(whole, c.agent.train(c.trained, 1)[0])
    counts = [int(state.updates) for state in (c.fresh, c.trained, whole)]
    hold(counts == [0, 1, 2], f"after 0, 1 and 2 updates the state counts {counts}")
    params = [c.agent.policy_params(state) for state in (c.fresh, c.trained, whole)]
    learned = differ(*params[:2]) and differ(*params[1:])
    hold(learned, "an update leaves the parameters as they were: is a warm-up longer than it?")
    hold(set(metrics) == set(c.metrics), "two calls of train name other metrics")


def resumes_from_a_checkpoint(c: Case, folder: Path) -> None:
    """A state that went through a file in `folder` trains on to the same bits."""
    checkpoint.save(folder, 1, c.trained, keep=1, score=0.0)
    like = jax.eval_shape(c.agent.init, jax.random.key(KEY))
    _, restored = checkpoint.restore(folder, like)
    same(c.trained, restored)
    same(c.agent.train(c.trained, 1), c.agent.train(restored, 1))


def seeds_by_vmap_equal_single_ones(c: Case) -> None:
    """Two seeds in one program are those of each alone, and not the same."""
    together = _seeds_together(c.agent)
    for i, key in enumerate(_keys()):
        mine = jax.tree.map(lambda x, i=i: x[i], together)
        close(mine, c.agent.train(c.agent.init(key), 1), rtol=1e-3, atol=1e-4)
    one, two = (jax.tree.map(lambda x, i=i: x[i], together[0]) for i in (0, 1))
    other = differ(c.agent.policy_params(one), c.agent.policy_params(two))
    hold(other, "two seeds have the same parameters")


def a_mesh_changes_nothing(c: Case) -> None:
    """Two seeds over two devices, the environments of each over two more, are as on one device."""
    agent, size = c.agent, c.agent.env.num_envs
    states = jax.jit(jax.vmap(agent.init))(_keys())
    mesh = sharding.make_mesh("seed=2,env=2", seeds=SEEDS, num_envs=size)
    layout = sharding.shardings(mesh, states, agent.batched(c.trained))
    train = jax.jit(
        jax.vmap(lambda state: agent.train(state, 1)),
        in_shardings=(layout,),
        out_shardings=(layout, None),
        compiler_options=build.compiler_options(),
    )
    spread = train(jax.device_put(states, layout))
    close(spread, _seeds_together(agent), rtol=1e-3, atol=1e-4)
    parts = {
        len({str(shard.index) for shard in leaf.addressable_shards})
        for leaf in jax.tree.leaves(spread[0])
    }
    wanted = {2, 4} if agent.steps_environment else {2}
    hold(parts == wanted, f"leaves of the state lie in {parts} parts in the place of {wanted}")


def batched_marks_the_environment_axis(c: Case) -> None:
    """`batched` is True for exactly the leaves whose first axis is the environments."""
    marks, size = c.agent.batched(c.trained), c.agent.env.num_envs
    forms = jax.tree.structure(marks), jax.tree.structure(c.trained)
    hold(forms[0] == forms[1], "batched has another structure than the state")
    named = jax.tree_util.tree_flatten_with_path(c.trained)[0]
    for (path, leaf), mark in zip(named, jax.tree.leaves(marks), strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        right = bool(mark) == (leaf.shape[:1] == (size,))
        hold(right, f"batched says {bool(mark)} of {name} {leaf.shape}, of {size} environments")
    any_marked = any(jax.tree.leaves(marks))
    hold(any_marked == c.agent.steps_environment, f"steps_environment is not {any_marked}")


def metrics_are_finite_scalars(c: Case) -> None:
    """They count what happened, and the state is finite as well."""
    agent, metrics = c.agent, c.metrics
    hold(set(metrics) > METRICS, f"train lacks the metrics {sorted(METRICS - set(metrics))}")
    hold(any(name.startswith("loss/") for name in metrics), NO_LOSS)
    for name, value in metrics.items():
        scalar = value.shape == () and value.dtype == jnp.float32
        hold(scalar, f"{name} is {value.dtype} {value.shape}, not a float32 scalar")
        hold(np.isfinite(value), f"{name} is {value}")
    hold(metrics["finite"] == 1, "finite is not 1 though all metrics are")
    numbers = [x for x in arrays(c.trained) if np.issubdtype(x.dtype, np.inexact)]
    hold(all(np.isfinite(x).all() for x in numbers), "the state is not finite")
    steps = agent.steps_per_update if agent.steps_environment else 0
    valid, episodes, length = (float(metrics[k]) for k in ("valid_steps", "episodes", "length"))
    hold(valid <= steps, f"valid_steps is {valid:g} where {steps} steps were made")
    hold(episodes <= steps, f"{episodes:g} episodes ended in {steps} steps")
    hold((length > 0) == (episodes > 0), f"length is {length:g} with {episodes:g} episodes")


def greedy_actions_are_determined(c: Case) -> None:
    """Whatever the key, but for what a world model perceives; sampled ones are not, and all lie
    in the action space."""
    agent, (params, obs, size) = c.agent, _seen(c)
    keys, reset = jax.random.split(jax.random.key(KEY), DRAWS), jnp.ones(size, bool)
    first = agent.init_carry(size)

    @jax.jit
    @jax.vmap
    def actions(key: jax.Array) -> tuple[PyTree, PyTree]:
        sampled = agent.act(params, first, obs, reset, key)[1]
        return sampled, agent.act(params, first, obs, reset, key, greedy=True)[1]

    sampled, greedy = actions(keys)
    if not isinstance(agent, AgentWithModel):
        hold(not _varies(greedy), "greedy actions depend on the key")
    hold(_varies(sampled), f"{DRAWS} sampled actions are all the same")
    contains = jax.vmap(jax.vmap(agent.env.spec.action_space.contains))
    for name, chosen in (("sampled", sampled), ("greedy", greedy)):
        hold(contains(chosen).all(), f"{name} actions lie outside the action space")


def a_reset_forgets_every_carry(c: Case) -> None:
    """Even one of NaN; a fresh carry needs no reset, and a carry keeps its form."""
    agent, (params, obs, size) = c.agent, _seen(c)
    act = _greedily(agent, params, obs)
    clean, kept = agent.init_carry(size), jnp.zeros(size, bool)
    broken = jax.tree.map(
        lambda x: jnp.full_like(x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.inexact) else x, clean
    )
    afresh = act(clean, ~kept)
    same(act(broken, ~kept), afresh)
    same(act(clean, kept), afresh)
    later = act(afresh[0], kept)[0]
    hold(differ(later, afresh[0]), "a second step leaves the carry as it was: no memory is used")
    forms = jax.tree.map(jnp.shape, later), jax.tree.map(jnp.shape, clean)
    hold(forms[0] == forms[1], f"a step makes a carry {forms[0]} of {forms[1]}")


def environments_do_not_mix(c: Case) -> None:
    """What an environment's action and carry are depends on its own observation alone."""
    agent, (params, obs, size) = c.agent, _seen(c)
    others = jax.tree.map(lambda x: x.at[1:].set(x[1:, ..., ::-1]), obs)
    hold(differ(obs, others), "observations are alike in all environments: take another env.id")
    first, reset = agent.init_carry(size), jnp.ones(size, bool)
    one, two = (_greedily(agent, params, x)(first, reset) for x in (obs, others))
    close(*(jax.tree.map(lambda x: x[0], result) for result in (one, two)))
    hold(differ(one[0], two[0]), "the memory does not depend on what is observed")


def _keys() -> jax.Array:
    return jax.random.split(jax.random.key(KEY), SEEDS)


@cache
def _seeds_together(agent: Agent) -> tuple[Any, Metrics]:
    """(states, metrics) after one update of two seeds in one program."""
    train = jax.vmap(lambda key: agent.train(agent.init(key), 1))
    return jax.jit(train, compiler_options=build.compiler_options())(_keys())


def _seen(c: Case) -> tuple[Params, PyTree, int]:
    """(parameters of the trained agent, first observations, number of environments)."""
    _, ts = jax.jit(c.agent.env.reset)(jax.random.key(KEY))
    return c.agent.policy_params(c.trained), ts.obs, c.agent.env.num_envs


def _greedily(agent: Agent, params: Params, obs: PyTree) -> Callable[..., Any]:
    """(carry, reset) -> (carry, action)."""
    key = jax.random.key(KEY)
    return lambda carry, reset: agent.act(params, carry, obs, reset, key, greedy=True)


def _varies(actions: PyTree) -> bool:
    """Whether actions [DRAWS, ...] are not all the first of them."""
    return any((leaf != leaf[:1]).any() for leaf in arrays(actions))
