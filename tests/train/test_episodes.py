"""Rows of `episodes.jsonl`: which evaluation each belongs to, older rows too."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rlseq.train import episodes
from rlseq.train.episodes import Protocol
from rlseq.train.play import Episodes


def played(seeds: int, slots: int, each: int, offset: int = 0) -> Episodes:
    shape = seeds, slots, each
    values = np.arange(offset, offset + np.prod(shape)).reshape(shape)
    zeros = np.zeros(shape)
    return Episodes(values.astype(np.float32), zeros, zeros.astype(bool), values.astype(np.uint32))


def older(step: int, slots: int, each: int, **own) -> list[dict]:
    """Rows as they were written before evaluations had names."""
    head = {"step": step, "seed": 0, "length": 5} | own
    return [
        head | {"slot": slot, "episode": k, "return": float(slot + 10 * k)}
        for slot in range(slots)
        for k in range(each)
    ]


PROTOCOL = Protocol(400, "sampled", 2, 100)


def test_a_row_says_all_of_its_evaluation():
    rows = episodes.rows_of(3, PROTOCOL, 7, [5, 6], played(2, 2, 1))
    assert len(rows) == 4 and rows[-1] == {
        "evaluation": 3, "step": 400, "mode": "sampled", "num_envs": 2, "max_steps": 100,
        "eval_seed": 7, "seed": 6, "slot": 1, "episode": 0, "return": 3.0, "length": 0,
        "cut": False, "trajectory": 3,
    }  # fmt: skip


def test_rows_of_the_same_seeds_and_protocol_count_once():
    first = episodes.rows_of(0, PROTOCOL, 0, [5], played(1, 2, 2))
    again = episodes.rows_of(1, PROTOCOL, 0, [5], played(1, 2, 3))  # more of the same
    other = episodes.rows_of(2, PROTOCOL, 1, [5], played(1, 2, 2))
    greedy = episodes.rows_of(3, PROTOCOL._replace(mode="greedy"), 0, [5], played(1, 2, 2))
    found = episodes.evaluations([*first, *again, *other, *greedy])
    assert [len(e.rows) for e in found] == [6, 4, 4]
    assert [(e.protocol.mode, e.eval_seed) for e in found] == [
        ("sampled", 0), ("sampled", 1), ("greedy", 0)
    ]  # fmt: skip
    assert not episodes.is_new(first, first) and episodes.is_new(first, again)
    assert episodes.is_new([*first, *again], other)


def test_numbers_and_seeds_go_on_from_what_is_there():
    assert (episodes.next_number([]), episodes.next_eval_seed([])) == (0, 1)
    rows = episodes.rows_of(4, PROTOCOL, 9, [5], played(1, 2, 1))
    assert (episodes.next_number(rows), episodes.next_eval_seed(rows)) == (5, 10)
    assert episodes.next_eval_seed(older(400, 2, 2)) == 1


def test_older_rows_are_told_apart_where_they_begin_again():
    """Training's evaluation, `eval` (the same seeds: once), `eval --greedy`, another size."""
    rows = older(400, 3, 2) + older(400, 3, 2, greedy=False) + older(400, 3, 3)
    rows += older(400, 3, 2, greedy=True) + older(400, 2, 1) + older(800, 3, 2)
    found = episodes.evaluations(rows)
    assert [(e.protocol, len(e.rows)) for e in found] == [
        (Protocol(400, "sampled", 3, None), 9),
        (Protocol(400, "greedy", 3, None), 6),
        (Protocol(400, "sampled", 2, None), 2),
        (Protocol(800, "sampled", 3, None), 6),
    ]
    assert episodes.distinct(found[0].rows) is None


def test_own_evaluation_is_the_one_after_training():
    later = episodes.rows_of(1, PROTOCOL, 1, [0], played(1, 2, 8))
    greedy = episodes.rows_of(2, PROTOCOL._replace(mode="greedy"), 0, [0], played(1, 2, 8))
    assert episodes.own_evaluation([*later, *greedy], 400, 0) == 0
    own = episodes.rows_of(0, PROTOCOL, 0, [0], played(1, 2, 2))
    assert episodes.own_evaluation([*own, *later], 400, 0) == 4
    assert episodes.own_evaluation(own, 800, 0) == episodes.own_evaluation(own, 400, 1) == 0
    assert episodes.own_evaluation(older(400, 2, 2), 400, 0) == 4


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([400, 800]),
            st.sampled_from(episodes.MODES),
            st.integers(1, 3),
            st.integers(1, 3),
            st.integers(0, 2),
        ),
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_no_episode_counts_twice_whatever_was_played(plays, chance: random.Random):
    """In any order, torn and repeated: one row a seed, protocol, seed of evaluation and place."""
    rows = []
    for number, (step, mode, slots, each, eval_seed) in enumerate(plays):
        protocol = Protocol(step, mode, slots, 100)
        rows += episodes.rows_of(number, protocol, eval_seed, [0, 1], played(2, slots, each))
    rows = chance.sample(rows, len(rows) - len(rows) // 5)
    found = episodes.evaluations(rows)
    places = {
        (e.seed, e.protocol, e.eval_seed, row["slot"], row["episode"])
        for e in found
        for row in e.rows
    }
    keys = ("seed", "step", "mode", "num_envs", "eval_seed", "slot", "episode")
    expected = {tuple(row[key] for key in keys) for row in rows}
    assert sum(len(e.rows) for e in found) == len(places) == len(expected)
