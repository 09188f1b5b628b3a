"""One improvement step: the loss against NumPy, what minibatches see, where the epochs stop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from rlseq.agents.ppo_update import LossSettings, improve, ppo_loss
from tests.agents.small import arrays, batch_of, close, differ, fresh, make, recurrent, replay

SEED = jax.random.key(1)


def learner():
    """Steps wide enough for the policy to move within an update."""
    return make(lr=0.05)


def loss_settings(agent, **changes):
    fields = {name: getattr(agent.config, name) for name in LossSettings._fields}
    return LossSettings(**(fields | changes))


def moved(network, scale=0.3):
    """Other parameters than those that acted, so that ratios are not 1."""
    rng = np.random.default_rng(0)
    network = jax.tree.map(np.asarray, network)
    return jax.tree.map(lambda x: x + np.float32(scale * rng.normal(size=x.shape)), network)


def numpy_loss(logits, value, batch, s):
    """PPO's objective from the network's outputs, entry by entry."""
    log_p = special.log_softmax(np.asarray(logits, np.float64), axis=-1)
    value = np.asarray(value, np.float64)
    _, _, _, action, old, old_value, advantage, target, mask = (
        np.asarray(x) if name != "carry" else None for name, x in batch._asdict().items()
    )
    policy, critic, entropy = [], [], []
    for i in np.ndindex(action.shape):
        if batch.mask is not None and not mask[i]:
            continue
        ratio = np.exp(log_p[i][action[i]] - old[i])
        within = min(max(ratio, 1 - s.clip), 1 + s.clip)
        policy.append(-min(ratio * advantage[i], within * advantage[i]))
        errors = [(value[i] - target[i]) ** 2]
        if s.value_clip:
            step = min(max(value[i] - old_value[i], -s.value_clip), s.value_clip)
            errors.append((old_value[i] + step - target[i]) ** 2)
        critic.append(0.5 * max(errors))
        entropy.append(-(np.exp(log_p[i]) * log_p[i]).sum())
    parts = np.mean(policy), np.mean(critic), np.mean(entropy)
    return parts[0] + s.value_coef * parts[1] - s.entropy_coef * parts[2], parts


@pytest.mark.parametrize("value_clip", [0.0, 0.05])
@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_of_all_environments_equals_numpys(value_clip, masked):
    agent = recurrent()
    batch = batch_of(agent, fresh(agent))
    if masked:
        mask = jnp.asarray(np.random.default_rng(1).random(batch.reset.shape) < 0.5)
        batch = batch._replace(mask=mask)
    network = moved(fresh(agent).params.network)
    settings = loss_settings(agent, value_clip=value_clip, entropy_coef=0.1)
    total, metrics = jax.jit(partial(ppo_loss, agent.network, settings=settings))(network, batch)
    _, policy, value = replay(agent, network, batch.carry, batch.obs, batch.reset)
    expected, parts = numpy_loss(policy.logits, value, batch, settings)
    np.testing.assert_allclose(total, expected, rtol=1e-4)
    for name, part in zip(("loss/policy", "loss/value", "entropy"), parts, strict=True):
        np.testing.assert_allclose(metrics[name], part, rtol=1e-4, atol=1e-6)
    assert 0 < metrics["clip_fraction"] < 1 and metrics["approx_kl"] > 0


def test_replayed_with_the_same_parameters_the_ratio_is_one():
    # So the sequence form saw the carries, resets and observations that acting saw.
    agent = recurrent()
    state, _ = agent.train(fresh(agent), 2)
    assert any(leaf.any() for leaf in arrays(state.actor.carry))
    batch = batch_of(agent, state)
    network = state.params.network
    _, policy, value = replay(agent, network, batch.carry, batch.obs, batch.reset)
    np.testing.assert_allclose(policy.log_prob(batch.action), batch.log_prob, atol=1e-5)
    np.testing.assert_allclose(value, batch.value, atol=1e-5)
    np.testing.assert_allclose(batch.advantage.mean(), 0, atol=1e-5)
    np.testing.assert_allclose(batch.advantage.std(), 1, rtol=1e-3)


def test_select_takes_whole_sequences_with_their_carries():
    agent = recurrent()
    batch = batch_of(agent, fresh(agent))
    batch = jax.tree.map(np.asarray, batch)
    carry = jax.tree.map(lambda x: x + np.arange(4, dtype=x.dtype)[:, None], batch.carry)
    part = batch._replace(carry=carry).select(np.array([2, 0]))
    for a, b in zip(arrays(part.carry), arrays(carry), strict=True):
        np.testing.assert_array_equal(a, b[[2, 0]])
    for name in ("obs", "reset", "action", "log_prob", "value", "advantage", "target"):
        np.testing.assert_array_equal(getattr(part, name), getattr(batch, name)[:, [2, 0]])


def run_improve(network, *, epochs=3, minibatches=2, target_kl=0.0):
    """(parameters, optimiser steps done, metrics) of one update of the learner's first rollout."""
    agent = learner()
    state = fresh(agent)
    settings = loss_settings(agent, target_kl=target_kl)
    run = partial(improve, agent.network, agent.optimiser, settings)
    sizes = {"epochs": epochs, "minibatches": minibatches}
    run = jax.jit(partial(run, **sizes))
    after, optimiser, metrics = run(network, state.optimiser, batch_of(agent, state), SEED)
    return after, int(optimiser[1][0].count), metrics


def test_without_a_target_every_minibatch_of_every_epoch_is_used():
    network = fresh(learner()).params.network
    after, count, metrics = run_improve(network)
    assert int(metrics["minibatches"]) == count == 6
    unreached, _, metrics = run_improve(network, target_kl=1e6)
    assert metrics["minibatches"] == 6
    close(after, unreached)


def test_target_kl_stops_the_epochs_midway():
    _, count, metrics = run_improve(fresh(learner()).params.network, target_kl=1e-4)
    assert 1 < int(metrics["minibatches"]) == count < 6
    # Entropy starts at ln 2 and hardly moves: were skipped parts counted, the mean would show it.
    np.testing.assert_allclose(metrics["entropy"], np.log(2), rtol=0.05)


def test_after_the_stop_the_parameters_stay():
    # The first minibatch, all environments, is too far already: one step by hand is all there is.
    agent = learner()
    network = moved(fresh(agent).params.network)
    after, count, metrics = run_improve(network, epochs=4, minibatches=1, target_kl=1e-4)
    assert int(metrics["minibatches"]) == count == 1
    loss = partial(ppo_loss, agent.network, settings=loss_settings(agent))
    batch = batch_of(agent, fresh(agent))

    @jax.jit
    def by_hand(network):
        gradients, _ = jax.grad(loss, has_aux=True)(network, batch)
        with jax.numpy_dtype_promotion("standard"):
            changes, _ = agent.optimiser.update(gradients, fresh(agent).optimiser, network)
        return optax.apply_updates(network, changes)

    close(after, by_hand(network), atol=1e-4)
    assert differ(after, network)


def test_gradients_are_clipped_by_their_global_norm():
    agent = make()
    gradients = jax.tree.map(lambda x: np.full(x.shape, 3.0, x.dtype), fresh(agent).params.network)
    with jax.numpy_dtype_promotion("standard"):
        _, optimiser = jax.jit(agent.optimiser.update)(gradients, fresh(agent).optimiser)
    first_moment = optimiser[1][0].mu  # Adam's, 0.1 of the gradient it was given
    np.testing.assert_allclose(optax.tree.norm(first_moment), 0.1 * 0.5, rtol=1e-4)
    leaves = arrays(first_moment)
    np.testing.assert_allclose(np.ptp(np.concatenate([x.ravel() for x in leaves])), 0, atol=1e-8)


def test_the_learning_rate_reaches_zero_at_the_end_of_the_run_only():
    agent = make(num_updates=2, schedule="linear")
    states = [fresh(agent)]
    for _ in range(3):
        states.append(agent.train(states[-1], 1)[0])
    networks = [state.params.network for state in states]
    assert differ(networks[0], networks[1]) and differ(networks[1], networks[2])
    assert not differ(networks[2], networks[3])
