"""Population-based training: who goes on as whom, and that it resumes bit for bit."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.cli import main
from rlseq.errors import InputError
from rlseq.train.stop import Interrupted
from rlseq.train.swept import folder as sweep_folder
from rlseq.train.swept import loop as swept
from rlseq.train.swept import population, space
from rlseq.train.swept.agent import SweptState
from rlseq.train.swept.space import Pbt
from tests.train.test_swept import SMALL, newest, rows_of

NAN = float("nan")
VMAP, PBT = "sweep.vmap={agent.lr: [1e-3, 1e-2, 3e-2]}", "sweep.pbt={every: 2, share: 0.34}"
WORDS = [*SMALL, "total_steps=768", "run.chunks=6", "run.checkpoint_every=1", VMAP, PBT]


def decide(scores, lr, **settings):
    values = {"lr": np.array(lr, np.float32)[:, None]}
    rng = np.random.default_rng(0)
    return population.decide(Pbt(**settings), "ppo", np.array(scores)[:, None], values, rng)


def test_the_worst_goes_on_as_the_best_with_another_value():
    decided = decide([1.0, 3.0, 2.0, 0.0], [1e-3, 2e-3, 3e-3, 4e-3])
    assert decided.source[:, 0].tolist() == [0, 1, 2, 1]
    lr = decided.values["lr"][:, 0]
    np.testing.assert_allclose(lr[:3], [1e-3, 2e-3, 3e-3])
    assert min(abs(lr[3] - 2.4e-3), abs(lr[3] - 2e-3 / 1.2)) < 1e-8


def test_unknown_scores_are_the_worst_and_values_stay_within_bounds():
    decided = decide([NAN, 5.0, 1.0], [1e-3, 9.5, 1e-3], share=0.34, factor=50)
    assert decided.source[0, 0] == 1
    assert decided.values["lr"][0, 0] in (np.float32(10), np.float32(9.5 / 50))


@pytest.mark.parametrize("scores", [[NAN, NAN, NAN], [1.0, NAN, NAN], [2.0, 2.0, 2.0]])
def test_without_two_different_scores_all_stay(scores):
    decided = decide(scores, [1e-3, 2e-3, 3e-3])
    assert decided.source[:, 0].tolist() == [0, 1, 2]


def test_half_of_many_are_replaced_and_each_seed_is_a_population():
    scores = np.array([[0, 9.0], [1, 8], [2, 7], [3, 6]])
    values = {"lr": np.ones((4, 2), np.float32)}
    rng = np.random.default_rng(1)
    source = population.decide(Pbt(share=0.5), "ppo", scores, values, rng).source
    assert set(source[:2, 0]) <= {2, 3} and source[2:, 0].tolist() == [2, 3]
    assert set(source[2:, 1]) <= {0, 1} and source[:2, 1].tolist() == [0, 1]


def test_everything_but_random_keys_is_copied():
    keys = jax.vmap(jax.random.key)(jnp.arange(4, dtype=jnp.uint32))
    state = SweptState({"lr": jnp.arange(4.0)}, {"w": jnp.arange(4.0), "key": keys})
    decided = population.Round(np.array([[1, 0], [1, 1]]), {"lr": np.full((2, 2), 7, np.float32)})
    new = population.apply(state, decided)
    assert new.inner["w"].tolist() == [2, 1, 2, 3] and new.values["lr"].tolist() == [7] * 4
    assert (jax.random.key_data(new.inner["key"]) == jax.random.key_data(keys)).all()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return swept.train(space.parse([*WORDS, f"run.root={tmp_path_factory.mktemp('whole')}"]))


def test_rounds_are_written_down_and_change_what_is_trained(whole):
    rounds = [json.loads(line) for line in (whole / population.FILE).read_text().splitlines()]
    assert rounds and {one["step"] for one in rounds} <= {256, 512}
    last = rounds[-1]
    rows = [row for row in rows_of(whole / last["setting"], "metrics.jsonl")
            if row["seed"] == last["seed"]]  # fmt: skip
    values = {row["step"]: row["agent.lr"] for row in rows}
    assert values[last["step"]] != values[last["step"] + 128] == pytest.approx(last["agent.lr"])
    assert last["continues"] != last["setting"]


def test_an_interrupted_population_goes_on_bit_for_bit(whole, tmp_path, monkeypatch):
    save, saved = swept._save_member, []

    def stop_after_the_first_round(session, *rest):
        saved.append(save(session, *rest))
        session.stop.requested = len(saved) >= 3 * 4

    with monkeypatch.context() as patch:
        patch.setattr(swept, "_save_member", stop_after_the_first_round)
        patch.setattr(
            sweep_folder, "_new_folder", lambda root: (root / "cut").mkdir() or root / "cut"
        )
        with pytest.raises(Interrupted, match="at step 512"):
            swept.train(space.parse([*WORDS, f"run.root={tmp_path}"]))
    assert main(["resume", str(tmp_path / "cut")]) == 0
    assert (tmp_path / "cut" / population.FILE).read_bytes() == (
        whole / population.FILE
    ).read_bytes()
    for folder in sorted(path for path in whole.iterdir() if path.is_dir()):
        again = tmp_path / "cut" / folder.name
        assert rows_of(again, "metrics.jsonl") == rows_of(folder, "metrics.jsonl")
        for a, b in zip(
            *(jax.tree.leaves(newest(f)[1].params) for f in (again, folder)), strict=True
        ):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{evry: 2}", "Did you mean 'every'"),
        ("{every: 0}", r"sweep\.pbt\.every must be at least 1"),
        ("{share: 0.9}", "at most 0.5"),
        ("every", "reads like"),
    ],
)
def test_bad_settings_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        space.parse([*WORDS[:-1], f"sweep.pbt={text}"])


def test_it_needs_several_settings():
    with pytest.raises(InputError, match="which is missing"):
        space.parse([*SMALL, "sweep.pbt={every: 2}"])
    with pytest.raises(InputError, match="needs several settings"):
        space.parse([*SMALL, "sweep.vmap={agent.lr: [1e-3]}", "sweep.pbt={every: 2}"])
