"""Films: what is in the file is what was played, at the size and speed it should have."""

import os
import signal
import subprocess
import sys
from importlib import metadata

import imageio.v3 as imageio
import jax
import numpy as np
import pytest

from rlseq import cli
from rlseq.analysis import video
from rlseq.envs import make_env
from rlseq.envs.atari.pixels import shrink
from rlseq.errors import InputError
from rlseq.train import logging, runs


@pytest.fixture(scope="module")
def breakout(tmp_path_factory):
    """A run of PPO on Breakout with the smallest networks, short games and clipped rewards."""
    folder = tmp_path_factory.mktemp("film") / "run"
    settings = ["env.id=atari:Breakout", "env.preset=custom", "env.num_envs=2", "core=mlp"]
    settings += [f"env.options.{o}" for o in ("max_frames=160", "size=16", "grey=true")]
    settings += [f"agent.{o}" for o in ("num_steps=8", "minibatches=1", "epochs=1", "encoder=4")]
    settings += ["agent.head=4", "core.features=4", "run.quiet=true", "run.eval_episodes=4"]
    command = ["train", *settings, "total_steps=32", "run.chunks=2", f"run.dir={folder}"]
    assert cli.main(command) == cli.DONE
    return folder


def test_a_run_says_how_its_games_are_played(breakout):
    played = runs.read_environment_info(breakout)["environment settings"]
    assert played.startswith("custom (") and "max_frames 160" in played
    assert played.endswith(f"ale-py {metadata.version('ale-py')}")


def test_evaluation_is_in_human_units(breakout, capsys):
    rows = logging.read(breakout / logging.EPISODES)
    assert len(rows) == 4 and all(row["length"] <= 40 for row in rows)
    for row in rows:
        assert row["human_normalised"] == pytest.approx((row["return"] - 1.7) / (30.5 - 1.7))
        assert (row["mode"], row["max_steps"], row["cut"]) == ("sampled", 27_000, False)
    assert cli.main(["eval", str(breakout), "--episodes", "2", "--greedy"]) == cli.DONE
    assert "human-normalised" in capsys.readouterr().out
    assert logging.read(breakout / logging.EPISODES)[-1]["mode"] == "greedy"


def test_games_that_are_cut_begin_anew(breakout, capsys):
    """Two games of two episodes each, all cut: every emulator is reset in between."""
    command = ["eval", str(breakout), "--episodes", "4", "--max-steps", "10"]
    assert cli.main(command) == cli.DONE
    assert "4 of 4 episodes were cut after 10 steps" in capsys.readouterr().out
    rows = logging.read(breakout / logging.EPISODES)[-4:]
    assert all(row["length"] == 10 and row["cut"] for row in rows)
    assert len({row["trajectory"] for row in rows}) == 4


def test_a_film_that_is_cut_says_so(breakout, tmp_path, capsys):
    out = tmp_path / "play.gif"
    command = ["video", str(breakout), "--out", str(out), "--steps", "8"]
    assert cli.main(command) == cli.DONE
    assert "0 episodes ended" in (said := capsys.readouterr().out) and "cut after 8 steps" in said


@pytest.mark.parametrize("where", ["playing", "drawing"])
@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_a_signal_leaves_no_film(breakout, tmp_path, monkeypatch, capsys, kind, where):
    pytest.importorskip("imageio_ffmpeg")
    name = {"playing": "play", "drawing": "_images"}[where]
    plain = getattr(video, name)

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return plain(*args)

    monkeypatch.setattr(video, name, interrupted)
    out = tmp_path / f"play.{kind}"
    assert cli.main(["video", str(breakout), "--out", str(out)]) == cli.INTERRUPTED
    assert "no video is written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_images_that_fail_leave_no_film(tmp_path):
    def images():
        yield np.zeros((4, 4, 3), np.uint8)
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        video.write(tmp_path / "a.gif", images(), 8)
    assert not list(tmp_path.iterdir())


def test_a_gif_of_atari_is_native_and_in_colour(breakout, tmp_path, capsys):
    out = tmp_path / "play.gif"
    assert cli.main(["video", str(breakout), "--out", str(out), "--episodes", "2"]) == cli.DONE
    said = capsys.readouterr().out
    shown = imageio.imread(out, index=None)
    assert shown.shape[1:] == (210, 160, 3) and "2 episodes ended" in said
    steps = int(said.split(": ")[1].split(" ")[0])
    assert steps - 10 < len(shown) <= steps <= 82  # images that do not change are one
    assert cli.main(["video", str(breakout), "--out", str(out)]) == cli.BAD_INPUT


def test_an_mp4_has_a_image_a_step(breakout, tmp_path):
    """In processes without warnings as errors: JAX warns of the fork that becomes ffmpeg."""
    out = tmp_path / "play.mp4"
    words = [sys.executable, "-P", "-m", "rlseq", "video", str(breakout), "--out", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    steps = int(done.stdout.split(": ")[1].split(" ")[0])
    code = f"import imageio_ffmpeg; print(imageio_ffmpeg.count_frames_and_secs({str(out)!r})[0])"
    words = [sys.executable, "-c", code]
    counted = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(counted.stdout) == steps > 10


def test_the_film_is_the_game_that_was_played():
    """Shrunk as the policy saw them, the images are its observations, step by step."""
    settings = {"preset": "custom", "sticky": 0.25, "max_frames": 160}
    env = make_env("atari:Breakout", 1, action_log=64, **settings)

    def act(carry, obs, reset, key):
        return carry, jax.random.randint(key, (1,), 0, 4)

    seeds, recorded = video.play(env, act, None, jax.random.key(0), 2, 500)
    images, rate = video._images(env, seeds, recorded)
    shrunk = shrink(np.stack(list(images))[:, None], 64, "area")
    np.testing.assert_array_equal(shrunk[:, 0], recorded.timestep.obs[:, 0])
    assert rate == 15 and (recorded.timestep.truncated | recorded.timestep.terminated).sum() == 2


def test_vectors_are_filmed_as_the_gallery_draws_them():
    env = make_env("popgym:RepeatFirstEasy", 1)

    def act(carry, obs, reset, key):
        return carry, jax.random.randint(key, (1,), 0, 4)

    seeds, recorded = video.play(env, act, None, jax.random.key(0), 1, 500)
    images = list(video._images(env, seeds, recorded)[0])
    assert seeds is None and len(images) == 52
    lighter = [image.mean() for image in images]
    assert lighter == sorted(lighter, reverse=True) and lighter[0] > lighter[-1]


@pytest.mark.parametrize(
    ("name", "message"), [("a.avi", "ends in .gif or .mp4"), ("no/where/a.gif", "no folder")]
)
def test_bad_files_are_refused_at_once(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        video.film(tmp_path / "no run", tmp_path / name)


def test_mp4_without_its_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'rlseq\[video\]'"):
        video.film(tmp_path / "no run", tmp_path / "a.mp4")
