"""The packages' own loops: reset and step of one environment, as their users call them."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Loop(NamedTuple):
    """One environment of a package, with a limit of its own steps."""

    reset: Callable[[Any], Any]  # key -> (obs, state)
    # (key, state, action) -> (obs, state, reward, ended, cut by the limit)
    step: Callable[[Any, Any, Any], Any]


def craftax(name, limit):
    from craftax.craftax_classic.constants import BlockType
    from craftax.craftax_env import make_craftax_env_from_name

    env = make_craftax_env_from_name(name, auto_reset=False)
    params = env.default_params.replace(max_timesteps=limit)

    def step(key, state, action):
        obs, state, reward, ended, _ = env.step(key, state, action, params)
        dead = state.player_health <= 0
        if "Classic" in name:
            dead |= state.map[tuple(state.player_position)] == BlockType.LAVA.value
        return obs, state, reward, ended, ended & ~dead

    return Loop(lambda key: env.reset(key, params), step)


def brax(name, limit):
    from brax import envs

    return _limited(envs.get_environment(name), limit)


def playground(name, limit):
    from mujoco_playground import registry

    return _limited(registry.load(name, config_overrides={"impl": "jax"}), limit)


def _limited(env, limit):
    """By brax's wrapper, which Playground's own training uses as well."""
    from brax.envs.wrappers.training import EpisodeWrapper

    env = EpisodeWrapper(env, limit, action_repeat=1)

    def reset(key):
        state = env.reset(key)
        return state.obs, state

    def step(key, state, action):
        state = env.step(state, action)
        cut = state.info["truncation"] > 0
        return state.obs, state, state.reward, state.done > 0, cut

    return Loop(reset, step)


def xminigrid(name, limit):
    import xminigrid as package

    env, params = package.make(name, max_steps=limit)

    def reset(key):
        first = env.reset(params, key)
        return first.observation.ravel(), first

    def step(key, state, action):
        state = env.step(params, state, action)
        cut = state.last() & (state.discount == 1)
        return state.observation.ravel(), state, state.reward, state.last(), cut

    return Loop(reset, step)


def xland(name, limit):
    """Trials one after the other, as the package's own restarts make them."""
    import xminigrid as package
    from xminigrid.wrappers import GymAutoResetWrapper

    from rlseq.envs.jax_families.xland_env import drawn

    trials = 2
    env, params = package.make(name, max_steps=limit // trials)
    env = GymAutoResetWrapper(env)

    def shown(timestep, reward, ended):
        return timestep.observation.ravel(), jnp.stack([reward, ended]).astype(jnp.float32)

    def reset(key):
        rules_key, start_key = jax.random.split(key)
        rules = drawn(rules_key)
        first = env.reset(params.replace(ruleset=rules), start_key)
        return shown(first, jnp.float32(0), False), (rules, first, 0)

    def step(key, state, action):
        rules, timestep, over = state
        timestep = env.step(params.replace(ruleset=rules), timestep, action)
        over += timestep.last()
        obs = shown(timestep, timestep.reward, timestep.last())
        return obs, (rules, timestep, over), timestep.reward, over >= trials, False

    return Loop(reset, step)


def arcade(name, limit):
    """The package tells its own ends; deaths at its own limit of time are not among them here."""
    import popgym_arcade as package

    env, params = package.make(name, partial_obs=True)
    env.is_terminated = env.is_terminal  # the older gymnax had one name for both

    def reset(key):
        obs, state = env.reset_env(key, params)
        return obs, (state, 0)

    def step(key, state, action):
        state, time = state
        obs, state, reward, done, _ = env.step_env(key, state, action, params)
        ended = done | (time + 1 >= limit)
        return obs, (state, time + 1), reward, ended, ended & ~done

    return Loop(reset, step)


def jumanji(name, limit):
    import jumanji as package

    env = package.make(name)

    def reset(key):
        state, first = env.reset(key)
        return fields(first.observation), (state, 0)

    def step(key, state, action):
        inner, time = state
        action = action.reshape(env.action_spec.shape).astype(env.action_spec.dtype)
        inner, timestep = env.step(inner, action)
        terminated = timestep.last() & (timestep.discount == 0)
        ended = timestep.last() | (time + 1 >= limit)
        obs = fields(timestep.observation)
        return obs, (inner, time + 1), timestep.reward, ended, ended & ~terminated

    return Loop(reset, step)


def fields(observation):
    """A NamedTuple or a dataclass as a dict, and so on inside."""
    if hasattr(observation, "_asdict"):
        observation = observation._asdict()
    elif dataclasses.is_dataclass(observation):
        observation = vars(observation)
    if not isinstance(observation, dict):
        return observation
    return {key: fields(value) for key, value in observation.items()}


def navix(name, limit):
    import navix as package

    env = package.make(
        name, max_steps=limit, observation_fn=package.observations.symbolic_first_person
    )

    def reset(key):
        first = env.reset(key)
        return first.observation.ravel(), first

    def step(key, state, action):
        state = env.step(state, action)
        cut = state.is_truncation()
        return state.observation.ravel(), state, state.reward, state.is_done(), cut

    return Loop(reset, step)


def pgx(name, limit):
    import pgx as package

    env = package.make(name)

    def reset(key):
        state = env.init(key)
        return state.observation, (state, 0)

    def step(key, state, action):
        state, time = state
        state = env.step(state, action, key)
        ended = state.terminated | (time + 1 >= limit)
        obs = state.observation
        return obs, (state, time + 1), state.rewards[0], ended, ended & ~state.terminated

    return Loop(reset, step)
