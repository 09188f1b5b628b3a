"""Decks of cards (popgym 1.0.7, core/deck.py): 52 cards a deck, several decks shuffled as one.

Card i has suit i % 4, colour i % 2 and rank (i // 4) % 13. A game only ever looks at one of the
three, so a shuffled deck is kept as that one property of each card, in the order of dealing.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.fields import OneOf, Range

DECK_SIZE = 52
NUM_KINDS = {"colors": 2, "suits": 4, "ranks": 13}
Decks = Annotated[int, Range(1, 1000)]
DeckType = Annotated[str, OneOf(NUM_KINDS)]
LOWEST = np.uint32(15)  # bits that hold any kind


def deck_size(num_decks: int) -> int:
    """Cards in `num_decks` decks."""
    return DECK_SIZE * num_decks


def kinds(num_decks: int, deck_type: str) -> np.ndarray:
    """The kind of every card of an unshuffled deck: int8 [N]."""
    card = np.arange(deck_size(num_decks))
    of_type = {"colors": card % 2, "suits": card % 4, "ranks": card // 4 % 13}
    return of_type[deck_type].astype(np.int8)  # int8: the deck is most of an env's state


def shuffled(key: jax.Array, num_decks: int, deck_type: str) -> jax.Array:
    """The kinds of a freshly shuffled deck in the order they will be dealt: int8 [N].

    Sorts 28 random bits a card, with its kind below them: sorting one array of numbers is twenty
    times faster on CPUs than `jax.random.permutation`, which sorts pairs. Two cards with the same
    28 bits, which one deck in 200,000 has, come in the order of their kinds.
    """
    kind = jnp.asarray(kinds(num_decks, deck_type)).astype(jnp.uint32)
    mixed = jax.random.bits(key, kind.shape, jnp.uint32) & ~LOWEST | kind
    return (jax.lax.sort(mixed) & LOWEST).astype(jnp.int8)
