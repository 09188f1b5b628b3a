"""For each discrete game of popgym: our state for its own, and a player of given skill."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.envs.popgym.battleship import BattleshipState
from rlseq.envs.popgym.card_game import CardGameState
from rlseq.envs.popgym.concentration import ConcentrationState
from rlseq.envs.popgym.count_recall import CountRecallState
from rlseq.envs.popgym.maze import MazeState
from rlseq.envs.popgym.minesweeper import MineSweeperState
from rlseq.envs.popgym.multiarmed_bandit import MultiarmedBanditState

START = np.int32(0)
NO = np.zeros((), bool)


class Game(NamedTuple):
    state: Callable[[Any], Any]  # popgym's environment after its reset -> our state
    act: Callable[[Any, Any, float], Any]  # (environment, generator, skill) -> action
    draws: Callable[[Any], Any] | None = None  # step keys [T] -> what popgym shall draw


def dealt(deck, kinds):
    """The kinds of popgym's deck in the order of dealing, which is from the end."""
    return kinds[deck.idx[::-1]].astype(np.int8)


def suits_state(env):
    return CardGameState(START, dealt(env.deck, env.deck.suits_idx))


def ranks_state(env):
    return CardGameState(START, dealt(env.deck, env.deck.ranks_idx))


def count_state(env):
    values = dealt(env.value_deck, env.deck_idx_type)
    queries = dealt(env.query_deck, env.deck_idx_type)
    counts = np.bincount(values[:1], minlength=env.num_distinct_cards).astype(np.int32)
    return CountRecallState(START, values, queries, counts)


def concentration_state(env):
    cards = env.deck_idx_type[env.deck.idx].astype(np.int8)
    return ConcentrationState(START, cards, cards < 0, np.full(2, -1, np.int32))


def bandit_state(env):
    return MultiarmedBanditState(START, env.bandits.copy(), NO)


def mine_state(env):
    return MineSweeperState(START, env.hidden_grid == 1, env.hidden_grid == 2, NO)


def ship_state(env):
    return BattleshipState(START, env.board == 1, env.guesses == 1, NO)


def maze_state(env):
    grid = env.maze.grid.astype(np.int8)
    env.visits = {}  # of the player below
    return MazeState(START, grid, np.array(env.position, np.int32), env.explored == 1)


def answering(answer):
    """A player who gives this answer as often as it has skill, else a random one."""

    def act(env, rng, skill):
        right = rng.random() < skill
        return int(answer(env) if right else rng.integers(env.action_space.n))

    return act


def previous_suit(env):
    hand = env.deck["player"]
    return env.deck.suits_idx[hand[-env.k]] if len(hand) >= env.k else 0


def last_watched(env):
    return env.deck.suits_idx[env.deck["system"][-1]]


def higher_or_lower(env):
    now, after = env.deck["player"][-1], env.deck.idx[env.deck.deck_len - 1]
    return int(env.deck.ranks_idx[after] < env.deck.ranks_idx[now])


def turn_pairs(env, rng, skill):
    """Sometimes a card that lies face up or was just turned; with skill the other of a pair."""
    if rng.random() >= skill:
        return int(rng.integers(env.action_space.n))
    kinds = env.deck_idx_type[env.deck.idx]
    down = np.ones(len(kinds), bool)
    down[env.deck["face_up_idx"] + env.deck["in_play_idx"]] = False
    if env.deck["in_play_idx"]:
        down &= kinds == kinds[env.deck["in_play_idx"][0]]
    return int(rng.choice(np.flatnonzero(down)))


def step_on_board(good, viewed):
    """A shot at a good square, at one seen before, or anywhere."""

    def act(env, rng, skill):
        choice = np.argwhere(viewed(env)) if rng.random() < 0.1 else np.argwhere(good(env))
        aimed = rng.random() < skill and len(choice)
        return tuple(
            (rng.choice(choice) if aimed else rng.integers(env.action_space.nvec)).tolist()
        )

    return act


def search(env, rng, skill):
    """Mostly a move to the neighbour visited least: finds goals and visits every cell."""
    env.visits[env.position] = env.visits.get(env.position, 0) + 1
    if rng.random() < 0.1 or skill == 0:
        return int(rng.integers(4))
    after = [env.move(action) for action in range(4)]
    counts = np.array([env.visits.get(p, 0) + (p == env.position) * 1e9 for p in after])
    return int(rng.choice(np.flatnonzero(counts == counts.min())))


def payouts(keys):
    """The uniform number that each step of ours compares with the chance of its arm."""
    step = jax.vmap(lambda key: jax.random.uniform(jax.random.split(key)[0], (), jnp.float32))
    return np.asarray(step(keys))


GAMES = {
    "RepeatPrevious": Game(suits_state, answering(previous_suit)),
    "RepeatFirst": Game(suits_state, answering(lambda env: env.card)),
    "CountRecall": Game(count_state, answering(lambda env: env.counts[env.query])),
    "Autoencode": Game(suits_state, answering(last_watched)),
    "HigherLower": Game(ranks_state, answering(higher_or_lower)),
    "Concentration": Game(concentration_state, turn_pairs),
    "MultiarmedBandit": Game(bandit_state, answering(lambda e: e.bandits.argmax()), payouts),
    "MineSweeper": Game(
        mine_state, step_on_board(lambda e: e.hidden_grid == 0, lambda e: e.hidden_grid == 2)
    ),
    "Battleship": Game(
        ship_state, step_on_board(lambda e: (e.board == 1) & (e.guesses == 0), lambda e: e.guesses)
    ),
    "LabyrinthEscape": Game(maze_state, search),
    "LabyrinthExplore": Game(maze_state, search),
}
