"""Imagination, acting and learning are one model: what it does step by step is what it scans."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.rl.two_hot import FORMS, two_hot_loss, two_hot_mean
from rlseq.world_models.latents import sample
from tests import kinds
from tests.world_models.small import WIDTH, make, random_batch

KEY = jax.random.key(1)


@pytest.mark.parametrize("core", kinds.cores((*kinds.EACH_KIND, "aaren", "universal")))
def test_teacher_forced_imagination_is_the_prior_of_observe(core):
    model = make(core)
    batch = random_batch()

    @jax.jit
    def both(key):
        params = model.init(key)
        carry = model.init_carry(2)
        end, seen = model.observe(params, carry, batch.obs, batch.action, batch.reset, key)

        def body(carry, inputs):
            return model.imagine_step(params, carry, *inputs, key)

        inputs = (seen.latent, batch.action, batch.reset)
        last, imagined = jax.lax.scan(body, carry, inputs)
        prior = model.network.apply(params, imagined.hidden, method="prior")
        return end, seen, last, imagined, prior

    end, seen, last, imagined, prior = both(KEY)
    close = {"rtol": 1e-4, "atol": 2e-5}
    np.testing.assert_allclose(imagined.hidden, seen.next_hidden, **close)
    goes_on = ~np.asarray(batch.reset)[1:]
    assert goes_on.any() and not goes_on.all()
    np.testing.assert_allclose(prior[:-1][goes_on], seen.prior[1:][goes_on], **close)
    for a, b in zip(jax.tree.leaves(last), jax.tree.leaves(end), strict=True):
        np.testing.assert_allclose(a, b, **close)


def test_remembered_carries_are_those_of_acting():
    model = make("mamba2")
    batch = random_batch(6)

    @jax.jit
    def both(key):
        params = model.init(key)
        carry = model.init_carry(2)
        latent = model.encode(params, batch.obs, key)
        inputs = (latent, batch.action, batch.reset)
        kept = [model.remember(params, carry, *inputs, every) for every in (1, 3)]
        stepped = []
        for t in range(6):
            hidden = jnp.where(batch.reset[t, :, None], 0, carry.hidden)
            stepped.append(carry._replace(hidden=hidden))
            carry = model.advance(params, carry, *jax.tree.map(lambda leaf: leaf[t], inputs))  # noqa: B023
        return kept, jax.tree.map(lambda *leaves: jnp.stack(leaves), *stepped)

    (every, third), stepped = both(KEY)
    for a, b, c in zip(*map(jax.tree.leaves, (every, third, stepped)), strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(b, c[::3], rtol=1e-4, atol=1e-5)


@cache
def observer(model):
    def run(key, reset):
        batch, params, carry = random_batch(), model.init(key), model.init_carry(2)
        return model.observe(params, carry, batch.obs, batch.action, reset, key)[1]

    return jax.jit(run)


def observed(model, reset):
    return observer(model)(KEY, reset)


def test_an_episode_knows_nothing_of_the_one_before():
    first = jnp.zeros((7, 2), bool).at[4, 0].set(True)
    apart, whole = observed(make(), first), observed(make(), jnp.zeros_like(first))
    assert (apart.hidden[4, 0] == 0).all()
    np.testing.assert_array_equal(apart.next_hidden[:4], whole.next_hidden[:4])
    np.testing.assert_array_equal(apart.next_hidden[:, 1], whole.next_hidden[:, 1])
    assert not np.allclose(apart.next_hidden[4:, 0], whole.next_hidden[4:, 0])
    across = observed(make(cross_episodes=True), first)
    for a, b in zip(across, whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_perceived():
    model = make()
    first = jnp.arange(64) < 32

    @jax.jit
    def run(key):
        params = model.init(key)
        carry = model.init_carry(64)._replace(hidden=jnp.ones((64, 16)))
        prior = jnp.exp(model.network.apply(params, carry.hidden[:1], method="prior"))[0]
        return prior, model.perceive(params, carry, jnp.zeros((64, WIDTH)), first, key)

    prior, (latent, guess, hidden) = run(KEY)
    np.testing.assert_array_equal(guess[:32], latent[:32])
    np.testing.assert_array_equal(hidden, np.where(first[:, None], 0, np.ones((64, 16))))
    share = np.asarray(guess[32:]).reshape(-1, 4, 4).mean(0)
    assert np.abs(share - prior).max() < 0.3
    assert (np.asarray(latent).reshape(64, 4, 4).sum(-1) == 1).all()


@pytest.mark.parametrize("late", [False, True])
def test_rewards_and_ends_are_told_from_the_memory_after_the_action(late):
    model = make(reward_before_action=late)
    head = jax.random.normal(KEY, (16, 255))

    @jax.jit
    def run(key):
        params = model.init(key)
        params["params"]["reward_head"]["kernel"] = head
        carry = model.init_carry(2)._replace(hidden=jax.random.normal(key, (2, 16)))
        latent = model.encode(params, jnp.ones((2, WIDTH)), key)
        args = (latent, jnp.array([0, 2]), jnp.zeros(2, bool), key)
        after, imagined = model.imagine_step(params, carry, *args)
        source = carry.hidden if late else after.hidden
        reward, logit = (
            model.network.apply(params, source, method=m) for m in ("reward", "termination_logit")
        )
        following = sample(model.network.apply(params, after.hidden, method="prior"), key)
        return imagined, two_hot_mean(reward), logit, following

    imagined, reward, logit, following = run(KEY)
    np.testing.assert_allclose(imagined.reward, reward, rtol=1e-4)
    np.testing.assert_allclose(imagined.termination_logit, logit, rtol=1e-4)
    np.testing.assert_array_equal(imagined.terminated, logit > 0)
    np.testing.assert_array_equal(imagined.latent, following)


@pytest.mark.parametrize("form", FORMS)
def test_rewards_are_learned_and_told_in_the_form_that_was_chosen(form):
    model = make(two_hot=form)
    batch = jax.tree.map(jnp.asarray, random_batch())
    batch = batch._replace(reward=100 * batch.reward)
    head = jax.random.normal(KEY, (16, 255))

    @jax.jit
    def run(key):
        params = model.init(key)
        carry = model.init_carry(2)
        args = (jnp.zeros((2, 16)), jnp.array([0, 2]), jnp.zeros(2, bool), key)
        first = model.imagine_step(params, carry, *args)[1].reward
        params["params"]["reward_head"]["kernel"] = head
        after, imagined = model.imagine_step(params, carry, *args)
        logits = model.network.apply(params, after.hidden, method="reward")
        parts, seen = model.loss(params, batch, key)[1]
        learned = model.network.apply(params, seen.next_hidden, method="reward")
        wanted = two_hot_loss(learned, batch.reward, form=form).mean()
        return first, imagined.reward, two_hot_mean(logits, form=form), parts["reward"], wanted

    first, imagined, mean, loss, wanted = run(KEY)
    assert (first == 0).all()
    np.testing.assert_allclose(imagined, mean, rtol=1e-4)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)


def test_the_loss_is_the_weighed_sum_of_its_parts():
    model = make(reward=10.0, dynamics=0.5, representation=0.2)
    batch = jax.tree.map(jnp.asarray, random_batch())

    @jax.jit
    def run(key):
        return model.loss(model.init(key), batch, key)

    total, (parts, _) = run(KEY)
    weights = {"reconstruction": 1, "reward": 10, "termination": 1, "dynamics": 0.5}
    weights["representation"] = 0.2
    expected = sum(weight * float(parts[name]) for name, weight in weights.items())
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert all(parts[name] > 0 for name in weights)
