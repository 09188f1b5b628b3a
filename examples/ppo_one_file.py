"""Recurrent PPO in one file, in the manner of PureJaxRL, with a core as its memory.

The environment is gymnax's CartPole with its two velocities hidden, so that a policy without memory
cannot hold the pole for long. Rollout and update are one jitted scan. Only the core is rlseq's.
Run: python examples/ppo_one_file.py
"""

from typing import NamedTuple

import gymnax
import jax
import jax.numpy as jnp
import optax
from jax import lax

import rlseq

ENVS, STEPS, EPOCHS, WIDTH = 32, 64, 4, 64
GAMMA, LAMBDA, CLIP, ENTROPY = 0.99, 0.95, 0.2, 0.01
REWARD = 0.05  # of each step, so that values are near 1 and do not drown the policy's gradient

env, env_params = gymnax.make("CartPole-v1")
core = rlseq.functional("gru", in_features=WIDTH, features=WIDTH)
optimiser = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3, eps=1e-5))


class Seen(NamedTuple):
    """One step of every environment; reset says that obs begins an episode."""

    obs: jax.Array
    reset: jax.Array
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    done: jax.Array


def init_params(key):
    keys = jax.random.split(key, 3)
    encode = jax.random.normal(keys[0], (2, WIDTH))
    head = 0.01 * jax.random.normal(keys[1], (WIDTH, 3))  # two logits and a value
    return {"encode": encode, "core": core.init(keys[2]), "head": head}


def read_out(params, y):
    out = y @ params["head"]
    return jax.nn.log_softmax(out[..., :2]), out[..., 2]


def encoded(params, obs):
    # Position and angle over their limits; no velocity.
    return jnp.tanh(obs[..., ::2] / jnp.array([2.4, 0.2]) @ params["encode"])


def act(params, carry, obs, reset):
    """One step: obs [E, 4], reset [E]."""
    carry, y = core.step(params["core"], carry, encoded(params, obs), reset)
    return carry, *read_out(params, y)


def chosen(log_probs, action):
    return jnp.take_along_axis(log_probs, action[..., None], axis=-1)[..., 0]


def env_step(params, loop, _):
    carry, env_state, obs, reset, key = loop
    key, act_key, step_key = jax.random.split(key, 3)
    carry, log_probs, value = act(params, carry, obs, reset)
    action = jax.random.categorical(act_key, log_probs)
    step = jax.vmap(env.step, (0, 0, 0, None))
    keys = jax.random.split(step_key, ENVS)
    new, env_state, reward, terminated, truncated, _ = step(keys, env_state, action, env_params)
    done = terminated | truncated  # gymnax has begun the next episode: `new` is its first
    seen = Seen(obs, reset, action, chosen(log_probs, action), value, REWARD * reward, done)
    return (carry, env_state, new, done, key), seen


def advantages(seen, last_value):
    def body(loop, step):
        after, next_value = loop
        alive = 1.0 - step.done
        delta = step.reward + GAMMA * alive * next_value - step.value
        after = delta + GAMMA * LAMBDA * alive * after
        return (after, step.value), after

    return lax.scan(body, (jnp.zeros(ENVS), last_value), seen, reverse=True)[1]


def loss(params, carry, seen, advantage):
    # The whole rollout in one call: the same carry as it began with, the same resets.
    _, y = core.scan(params["core"], carry, encoded(params, seen.obs), seen.reset)
    log_probs, value = read_out(params, y)
    ratio = jnp.exp(chosen(log_probs, seen.action) - seen.log_prob)
    scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    gain = jnp.minimum(ratio * scaled, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * scaled).mean()
    entropy = -(jnp.exp(log_probs) * log_probs).sum(-1).mean()
    error = jnp.square(value - (advantage + seen.value)).mean()
    return 0.5 * error - gain - ENTROPY * entropy


def update(state, _):
    params, opt_state, loop = state
    carry = loop[0]
    loop, seen = lax.scan(lambda loop, x: env_step(params, loop, x), loop, length=STEPS)
    _, _, last_value = act(params, loop[0], loop[2], loop[3])
    advantage = advantages(seen, last_value)

    def epoch(learner, _):
        params, opt_state = learner
        gradient = jax.grad(loss)(params, carry, seen, advantage)
        changes, opt_state = optimiser.update(gradient, opt_state, params)
        return (optax.apply_updates(params, changes), opt_state), None

    (params, opt_state), _ = lax.scan(epoch, (params, opt_state), length=EPOCHS)
    return (params, opt_state, loop), seen.done.sum()


def main(updates=300):
    """Steps per ended episode in the last tenth of the updates; an episode lasts 500 at most."""
    keys = jax.random.split(jax.random.key(0), 3)
    params = init_params(keys[0])
    obs, env_state = jax.vmap(env.reset, (0, None))(jax.random.split(keys[1], ENVS), env_params)
    loop = (core.init_carry(ENVS), env_state, obs, jnp.ones(ENVS, bool), keys[2])
    state = (params, optimiser.init(params), loop)
    train = jax.jit(lambda state: lax.scan(update, state, length=updates))
    _, ends = train(state)
    tenth = max(updates // 10, 1)
    first, last = (
        tenth * ENVS * STEPS / max(int(n.sum()), 1) for n in (ends[:tenth], ends[-tenth:])
    )
    print(f"steps per episode: first {first:.0f}, last {last:.0f}")
    return last


if __name__ == "__main__":
    main()
