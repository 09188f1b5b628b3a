"""Recordings: returns to go against their definition, files there and back, damage, and lies."""

import io
import json

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from rlseq.data.load import load_recording
from rlseq.data.minari import minari_scores
from rlseq.data.npz import save_npz
from rlseq.data.recording import Recording, check_recording, returns_to_go
from rlseq.errors import InputError
from rlseq.types import DataScores


def recording(lengths=(3, 1, 4), obs=None, seed=0):
    """Episodes of some lengths with random rewards; every second one is cut."""
    steps, draw = sum(lengths), np.random.default_rng(seed)
    ends = np.cumsum(lengths) - 1
    terminated, truncated = np.zeros(steps, bool), np.zeros(steps, bool)
    terminated[ends[::2]] = truncated[ends[1::2]] = True
    obs = draw.normal(size=(steps, 2)).astype(np.float32) if obs is None else obs
    action = draw.integers(0, 3, steps).astype(np.int32)
    reward = draw.normal(size=steps).astype(np.float32)
    return Recording(obs, action, reward, terminated, truncated, {"env": {"id": "x"}})


def written(path, rec):
    with open(path, "wb") as file:
        save_npz(rec, file)
    return path


@hypothesis.settings(deadline=None, derandomize=True)
@hypothesis.given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 99))
def test_returns_to_go_are_sums_to_the_end_of_the_episode(lengths, seed):
    rec = recording(lengths, seed=seed)
    expected = []
    for end in np.cumsum(lengths):
        length = lengths[len(expected) and list(np.cumsum(lengths)).index(end)]
        rewards = rec.reward[end - length : end]
        expected += [rewards[i:].sum() for i in range(length)]
    np.testing.assert_allclose(returns_to_go(rec.reward, rec.reset), expected, atol=1e-5)


def test_episodes_begin_after_an_end_of_either_kind():
    assert np.flatnonzero(recording().reset).tolist() == [0, 3, 4]


@pytest.mark.parametrize("kind", ["vector", "dict", "tuple"])
def test_a_file_gives_back_what_was_recorded(kind, tmp_path):
    parts = np.arange(8, dtype=np.uint8), np.ones((8, 2, 2), np.float32)
    obs = {"vector": None, "dict": {"a": parts[0], "b": {"c": parts[1]}}, "tuple": parts}[kind]
    rec = recording(obs=obs)
    back = load_recording(written(tmp_path / "d.npz", rec))
    assert back.about == rec.about and jax.tree.structure(back) == jax.tree.structure(rec)
    for x, y in zip(jax.tree.leaves(back), jax.tree.leaves(rec), strict=True):
        np.testing.assert_array_equal(x, y)


def changed(path, **arrays):
    with np.load(path) as stored:
        old = {name: stored[name] for name in stored.files}
    np.savez(path, **{k: v for k, v in (old | arrays).items() if v is not None})


DAMAGE = {
    "cut": lambda p: p.write_bytes(p.read_bytes()[:300]),
    "zeros": lambda p: p.write_bytes(bytes(500)),
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("return,length\n1,2\n"),
    "no action": lambda p: changed(p, action=None),
    "no about": lambda p: changed(p, about=None),
    "about is no JSON": lambda p: changed(p, about=np.frombuffer(b"{", np.uint8)),
    "about is a list": lambda p: changed(p, about=np.frombuffer(b"[]", np.uint8)),
    "newer format": lambda p: changed(p, about=np.frombuffer(b'{"format": 9}', np.uint8)),
    "pickle": lambda p: changed(p, action=np.array([print] * 8, object)),
    "short": lambda p: changed(p, action=np.zeros(5, np.int32)),
    "scalar": lambda p: changed(p, action=np.int32(0)),
    "NaN": lambda p: changed(p, reward=np.full(8, np.nan, np.float32)),
    "flags": lambda p: changed(p, terminated=np.zeros(8, np.int32)),
    "double": lambda p: changed(p, reward=np.zeros(8)),
    "no end": lambda p: changed(p, terminated=np.zeros(8, bool), truncated=np.zeros(8, bool)),
    "no step": lambda p: changed(p, reward=np.zeros(0, np.float32)),
    "gone": lambda p: p.unlink(),
    "folder": lambda p: (p.unlink(), p.mkdir()),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_in_one_line_with_the_file(name, tmp_path):
    path = written(tmp_path / "d.npz", recording())
    DAMAGE[name](path)
    with pytest.raises(InputError) as raised:
        load_recording(path)
    assert "d.npz" in str(raised.value) and "\n" not in str(raised.value)


def test_nothing_is_written_that_would_not_be_read():
    rec = recording()
    for bad in (rec._replace(reward=rec.reward[:3]), rec._replace(obs=np.full((8, 2), np.inf))):
        with pytest.raises(InputError):
            save_npz(bad, io.BytesIO())
    assert check_recording(rec, "it") is rec


@pytest.mark.filterwarnings("ignore::UserWarning")  # Minari's, of what its metadata may lack
def test_minari_data_sets_are_read_as_they_are(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    gymnasium = pytest.importorskip("gymnasium")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = minari.DataCollector(gymnasium.make("CartPole-v1"))
    for seed in range(3):
        env.reset(seed=seed)
        done = False
        while not done:
            _, _, terminated, truncated, _ = env.step(seed % 2)
            done = terminated or truncated
    env.create_dataset("cartpole/test-v0", algorithm_name="x", author="x", code_permalink="x",
                       author_email="x", description="x")  # fmt: skip
    env.close()
    dataset = minari.load_dataset("cartpole/test-v0")
    rec = load_recording(tmp_path / "cartpole" / "test-v0")
    episodes = list(dataset.iterate_episodes())
    assert rec.steps == dataset.total_steps and rec.about["dataset_id"] == "cartpole/test-v0"
    np.testing.assert_array_equal(rec.obs, np.concatenate([e.observations[:-1] for e in episodes]))
    np.testing.assert_array_equal(rec.action, np.concatenate([e.actions for e in episodes]))
    assert rec.reward.dtype == np.float32 and rec.terminated.sum() == 3
    assert np.flatnonzero(rec.reset).tolist() == [0, *np.cumsum([len(e) for e in episodes])[:-1]]
    assert minari_scores(tmp_path / "cartpole/test-v0") is None
    metadata = tmp_path / "cartpole/test-v0/data/metadata.json"
    about = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(about | {"ref_min_score": -20.3, "ref_max_score": 3234.3}))
    assert minari_scores(tmp_path / "cartpole/test-v0") == DataScores(-20.3, 3234.3)
    assert minari_scores(tmp_path / "no") is None
    (tmp_path / "cartpole/test-v0/data/main_data.hdf5").write_bytes(b"no")
    with pytest.raises(InputError, match="no Minari data set"):
        load_recording(tmp_path / "cartpole" / "test-v0")
    assert json.loads((tmp_path / "cartpole/test-v0/data/metadata.json").read_text())
