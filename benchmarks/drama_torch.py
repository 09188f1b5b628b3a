"""The world-model update of drama_xs in PyTorch: `python drama_torch.py [--length 128]`.

Run it in an environment of its own with torch 2.13. The autoencoder, heads, losses and optimiser
are those of `world_models/` with PyTorch's own convolutions and two layers of its own LSTM, each
with norm and residual, as `core=lstm` has them; `benchmarks/drama_update.py` is the same update in
rlseq. Prints one JSON line: parameters, seconds of an update (median and all), peak megabytes.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

ACTIONS, WIDTH, LATENTS, CLASSES, BINS, HEAD = 18, 512, 32, 32, 255, 256
CHANNELS, KERNEL = (16, 32, 48, 64, 64), 5


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of [N, C, H, W], then a SiLU."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x):
        return F.silu(self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


def encoder():
    layers, before = [], 3
    for i, width in enumerate(CHANNELS):
        layers += [
            nn.Conv2d(before, width, KERNEL, 2 if i else 1, KERNEL // 2),
            ChannelNorm(width),
        ]
        before = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, LATENTS * CLASSES))


def decoder():
    layers = [nn.Linear(LATENTS * CLASSES, 1024), nn.Unflatten(1, (64, 4, 4)), ChannelNorm(64)]
    before = CHANNELS[-1]
    for width in CHANNELS[-2::-1]:
        layers += [
            nn.ConvTranspose2d(before, width, KERNEL, 2, KERNEL // 2, output_padding=1),
            ChannelNorm(width),
        ]
        before = width
    return nn.Sequential(*layers, nn.Conv2d(before, 3, KERNEL, 1, KERNEL // 2), nn.Sigmoid())


def head(outputs):
    body = [nn.Linear(WIDTH, HEAD), nn.RMSNorm(HEAD), nn.SiLU()]
    return nn.Sequential(*body, nn.Linear(HEAD, outputs))


class WorldModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = encoder(), decoder()
        self.stem = nn.Sequential(
            nn.Linear(LATENTS * CLASSES + ACTIONS, WIDTH), nn.RMSNorm(WIDTH), nn.SiLU()
        )
        self.norms = nn.ModuleList(nn.RMSNorm(WIDTH) for _ in range(2))
        self.layers = nn.ModuleList(nn.LSTM(WIDTH, WIDTH) for _ in range(2))
        self.norm, self.dropout = nn.RMSNorm(WIDTH), nn.Dropout(0.1)
        self.prior = nn.Linear(WIDTH, LATENTS * CLASSES)
        self.reward, self.ending = head(BINS), head(1)

    def loss(self, obs, action, reward, terminated):
        """obs uint8 [T, B, 3, 64, 64], the rest [T, B]."""
        time, batch = action.shape
        x = obs.flatten(0, 1).float() / 255
        posterior = log_probabilities(self.encoder(x)).unflatten(0, (time, batch))
        latent = draw(posterior)
        error = (self.decoder(latent.flatten(0, 1)) - x).square().sum((1, 2, 3)).mean()
        hidden = self.through(latent, action)
        prior = log_probabilities(self.prior(hidden[:-1]))
        reward_loss = -(two_hot(reward) * F.log_softmax(self.reward(hidden), -1)).sum(-1).mean()
        ended = F.binary_cross_entropy_with_logits(self.ending(hidden)[..., 0], terminated)
        dynamics = nats(posterior[1:].detach(), prior).mean().clamp(min=1)
        representation = nats(posterior[1:], prior.detach()).mean().clamp(min=1)
        return error + reward_loss + ended + dynamics + 0.1 * representation

    def through(self, latent, action):
        y = self.stem(torch.cat([latent, F.one_hot(action, ACTIONS).float()], -1))
        for norm, layer in zip(self.norms, self.layers, strict=True):
            y = y + self.dropout(layer(norm(y))[0])
        return self.norm(self.dropout(y))


def log_probabilities(logits):
    p = logits.unflatten(-1, (LATENTS, CLASSES)).softmax(-1)
    return (0.99 * p + 0.01 / CLASSES).log()


def draw(log_p):
    p = log_p.exp()
    chosen = torch.distributions.Categorical(logits=log_p.detach()).sample()
    return (F.one_hot(chosen, CLASSES).float() + p - p.detach()).flatten(-2)


def nats(p, q):
    return (p.exp() * (p - q)).sum((-1, -2))


def two_hot(x, limit=20.0):
    place = (torch.sign(x) * torch.log1p(x.abs())).clamp(-limit, limit) + limit
    place = place * ((BINS - 1) / (2 * limit))
    return (1 - (place[..., None] - torch.arange(BINS)).abs()).clamp(min=0)


class LaProp:
    """The update of `rlseq.rl.optimisers.laprop` on all parameters at once."""

    def __init__(self, parameters, lr=4e-5, weight_decay=1e-4, b1=0.9, b2=0.999, eps=1e-20):
        self.parameters, self.settings, self.count = list(parameters), (lr, b1, b2, eps), 0
        self.weight_decay = weight_decay
        self.n, self.m = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))

    @torch.no_grad()
    def step(self):
        lr, b1, b2, eps = self.settings
        self.count += 1
        grads = [p.grad for p in self.parameters]
        nn.utils.clip_grads_with_norm_(self.parameters, 1000.0, nn.utils.get_total_norm(grads))
        torch._foreach_mul_(self.n, b2)
        torch._foreach_addcmul_(self.n, grads, grads, 1 - b2)
        scale = torch._foreach_div(self.n, 1 - b2**self.count)
        torch._foreach_sqrt_(scale)
        torch._foreach_add_(scale, eps)
        torch._foreach_lerp_(self.m, torch._foreach_div(grads, scale), 1 - b1)
        torch._foreach_mul_(self.parameters, 1 - self.weight_decay)
        torch._foreach_add_(self.parameters, self.m, alpha=-lr / (1 - b1**self.count))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--updates", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    model, shape = WorldModel(), (args.length, args.batch)
    optimiser = LaProp(model.parameters())
    obs = torch.randint(0, 256, (*shape, 3, 64, 64), dtype=torch.uint8)
    action, reward = torch.randint(0, ACTIONS, shape), torch.randn(shape)
    seconds = []
    for _ in range(args.updates + 1):
        start = time.perf_counter()
        model.zero_grad()
        model.loss(obs, action, reward, torch.zeros(shape)).backward()
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    row = {
        "side": f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "shape": shape,
        "parameters": sum(p.numel() for p in model.parameters()),
        "update_s": round(statistics.median(seconds[1:]), 3),
        "all_s": [round(s, 3) for s in seconds[1:]],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
