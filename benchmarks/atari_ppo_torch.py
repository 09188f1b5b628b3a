"""PPO on Breakout in PyTorch, as CleanRL's ppo_atari.py lays it out, to be timed beside ours.

Needs torch, ale-py and gymnasium; nothing of rlseq. Network and settings are those of
`rlseq train experiment=atari_ppo core=mlp`: the Nature network, four epochs of four minibatches.
For every line on its input it does one update of 1,024 steps and prints its seconds.
"""

import sys
import time

import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv
from torch import nn
from torch.distributions import Categorical

ENVS, STEPS, EPOCHS, MINIBATCHES = 8, 128, 4, 4
GAMMA, LAM, CLIP, VALUE_COEF, ENTROPY_COEF, MAX_NORM = 0.99, 0.95, 0.1, 0.5, 0.01, 0.5


def dense(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Network(nn.Module):
    def __init__(self, actions: int):
        super().__init__()
        gain = 2**0.5
        convolutions = [nn.Conv2d(4, 32, 8, 4), nn.Conv2d(32, 64, 4, 2), nn.Conv2d(64, 64, 3, 1)]
        self.trunk = nn.Sequential(
            *(part for layer in convolutions for part in (layer, nn.ReLU())),
            nn.Flatten(),
            dense(7 * 7 * 64, 512, gain), nn.LeakyReLU(),
            dense(512, 256, gain), nn.LeakyReLU(),
            dense(256, 256, 1.0), nn.ReLU(),
        )  # fmt: skip
        self.policy, self.value = (
            nn.Sequential(
                dense(256, 128, gain), nn.LeakyReLU(), dense(128, 128, gain), nn.LeakyReLU(),
                dense(128, outputs, small),
            )
            for outputs, small in ((actions, 0.01), (1, 1.0))
        )  # fmt: skip

    def forward(self, obs: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        x = self.trunk(obs.float() / 255)
        return Categorical(logits=self.policy(x)), self.value(x)[:, 0]


class Learner:
    def __init__(self) -> None:
        self.env = AtariVectorEnv(
            "breakout", ENVS, noop_max=30, use_fire_reset=False, reward_clipping=True,
            repeat_action_probability=0.0,
        )  # fmt: skip
        self.network = Network(int(self.env.single_action_space.n))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=2.5e-4, eps=1e-5)
        obs, info = self.env.reset(seed=0)
        self.obs, self.lives = torch.from_numpy(obs), info["lives"]

    @torch.no_grad()
    def rollout(self) -> dict[str, torch.Tensor]:
        rows, ended = [], np.zeros(ENVS, bool)
        for _ in range(STEPS):
            policy, value = self.network(self.obs)
            action = policy.sample()
            obs, reward, terminated, truncated, info = self.env.step(action.numpy())
            done = terminated | truncated | (info["lives"] < self.lives)
            row = (self.obs, action, policy.log_prob(action), value, reward, done, ~ended)
            rows.append([torch.as_tensor(x).clone() for x in row])
            ended, self.lives = terminated | truncated, info["lives"]
            self.obs = torch.from_numpy(obs)
        names = ("obs", "action", "log_prob", "value", "reward", "done", "valid")
        data = {k: torch.stack(x) for k, x in zip(names, zip(*rows, strict=True), strict=True)}
        return data | {"advantage": self.advantages(data)}

    def advantages(self, data: dict[str, torch.Tensor]) -> torch.Tensor:
        following, total = self.network(self.obs)[1], torch.zeros(ENVS)
        advantage = torch.zeros(STEPS, ENVS)
        for t in reversed(range(STEPS)):
            going = (~data["done"][t]).float()
            delta = data["reward"][t] + GAMMA * going * following - data["value"][t]
            total = (delta + GAMMA * LAM * going * total) * data["valid"][t]
            advantage[t], following = total, data["value"][t]
        return advantage

    def update(self) -> None:
        data = {k: x.flatten(0, 1) for k, x in self.rollout().items()}
        data["target"] = data["advantage"] + data["value"]
        data["advantage"] = (data["advantage"] - data["advantage"].mean()) / data["advantage"].std()
        for _ in range(EPOCHS):
            for part in torch.randperm(ENVS * STEPS).chunk(MINIBATCHES):
                self.step({k: x[part] for k, x in data.items()})

    def step(self, b: dict[str, torch.Tensor]) -> None:
        policy, value = self.network(b["obs"])
        ratio = (policy.log_prob(b["action"]) - b["log_prob"]).exp()
        clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
        gain = torch.minimum(ratio * b["advantage"], clipped * b["advantage"])
        near = b["value"] + (value - b["value"]).clamp(-CLIP, CLIP)
        worse = torch.maximum((value - b["target"]) ** 2, (near - b["target"]) ** 2)
        loss = VALUE_COEF * 0.5 * worse - gain - ENTROPY_COEF * policy.entropy()
        self.optimiser.zero_grad()
        ((loss * b["valid"]).sum() / b["valid"].sum()).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_NORM)
        self.optimiser.step()


def main() -> None:
    torch.manual_seed(0)
    learner = Learner()
    for _ in sys.stdin:
        began = time.perf_counter()
        learner.update()
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
