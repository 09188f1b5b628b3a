"""An agent of your own: recurrent REINFORCE (Williams 1992) with a learned baseline, any core.

Run: python examples/reinforce.py train agent=reinforce core=gru env.id=memory:TMaze total_steps=1e6
and every other command of rlseq likewise, such as: python examples/reinforce.py resume RUN
"""

import sys
from dataclasses import dataclass

import optax

import rlseq
from rlseq import cli
from rlseq.agents.networks import make_network
from rlseq.agents.observations import Observations
from rlseq.agents.on_policy import OnPolicyAgent, check_sizes
from rlseq.agents.rollout import advantages
from rlseq.agents.updates import gradient_step
from rlseq.fields import LearningRate, Rollout, Share, Weight, Width
from rlseq.rl.losses import masked_mean, value_loss


@dataclass(frozen=True)
class ReinforceConfig:
    """Hyper-parameters, chosen on probe:Recall."""

    num_steps: Rollout = 64  # length of a rollout; what runs on after it counts by its value
    lr: LearningRate = 3e-3
    gamma: Share = 0.99
    entropy_coef: Weight = 0.01
    encoder: Width = 64  # width of the layer before the core
    head: Width = 64  # width of the two layers of each head


class Reinforce(OnPolicyAgent):
    """One step a rollout, along the log-probabilities times (return - value)."""

    Config = ReinforceConfig

    def __init__(self, env, config, core, num_updates, world_model=None):
        check_sizes(env.num_envs, 1, num_updates)
        sizes = config.encoder, config.head
        spaces = env.spec.obs_space, env.spec.action_space
        network = make_network(core, *spaces, "auto", *sizes, shared_core=True)
        optimiser = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(config.lr))
        super().__init__(env, config, Observations(env, "auto"), network, optimiser)

    def policy(self, params, carry, obs, reset):
        """One step: (carry, distribution over actions, value)."""
        return self.network.apply(params.network, carry, obs, reset, method="step")

    def learn(self, state, carry, trajectory, key):
        """From one rollout: (network, optimiser state, losses)."""
        advantage = advantages(trajectory, gamma=self.config.gamma, lam=1.0)
        start = state.params.network, state.optimiser
        new = gradient_step(self.loss, self.optimiser, *start, carry, trajectory, advantage)
        return new.params, new.optimiser, new.aux | {"grad_norm": new.norm}

    def loss(self, network, carry, t, advantage):
        """Of the sequences [T, E], replayed from the carry that each had at its start."""
        _, policy, value = self.network.apply(network, carry, t.obs, t.reset)
        actor = -masked_mean(policy.log_prob(t.action) * advantage, t.mask)
        critic = value_loss(value, t.value + advantage, t.mask)
        entropy = masked_mean(policy.entropy(), t.mask)
        losses = {"loss/policy": actor, "loss/value": critic, "entropy": entropy}
        return actor + critic - self.config.entropy_coef * entropy, losses


rlseq.register("agent", "reinforce", "reinforce:Reinforce")


def main(*arguments):
    """The commands of rlseq, with one agent more."""
    return cli.main(list(arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
