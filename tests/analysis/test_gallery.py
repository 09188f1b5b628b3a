"""The gallery: a file an environment, of the right kind, with what was seen in it."""

import os
import signal

import imageio.v3 as imageio
import jax
import numpy as np
import pytest
from gymnax.environments import spaces

from rlseq import cli
from rlseq.analysis import drawing, gallery, video
from rlseq.envs import catalogue, make_env, wrappers
from rlseq.envs.action_wrappers import StickyActions
from rlseq.envs.observation_wrappers import Delayed
from rlseq.envs.probe_longer import Truncated
from rlseq.envs.probe_one_step import Constant
from rlseq.envs.vec import JaxVecEnv
from rlseq.errors import InputError
from rlseq.train.stop import Interrupted

IDS = ["popgym:CountRecallEasy", "probe:Leak", "minatar:BreakoutMasked"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("gallery") / "new"
    assert cli.main(["gallery", str(out), "--envs", ",".join(IDS)]) == cli.DONE
    return out


def test_every_id_has_its_image_and_is_on_the_page(folder):
    names = ["popgym_CountRecallEasy.png", "probe_Leak.png", "minatar_BreakoutMasked.gif"]
    assert {path.name for path in folder.iterdir()} == {*names, "README.md"}
    page = (folder / "README.md").read_text()
    for env_id, name in zip(IDS, names, strict=True):
        family, about = env_id.partition(":")[0], catalogue.lines()[env_id]
        assert f"## {family}\n\n### {env_id}\n\n{about}\n\n![{env_id}]({name})" in page
    for name in names[:2]:
        assert imageio.imread(folder / name).std() > 10


def test_a_gif_moves_and_has_every_step(folder):
    frames = imageio.imread(folder / "minatar_BreakoutMasked.gif")
    assert frames.shape == (gallery.STEPS, 200, 200, 3)
    assert (frames[1:] != frames[:-1]).any(axis=(1, 2, 3)).sum() > gallery.STEPS / 2


def test_channels_become_colours_and_images_stay():
    image = np.zeros((1, 2, 2, 4), np.float32)
    image[0, 0, 1, 2] = 1
    drawn = drawing.frames(image)
    assert drawn.shape == (1, 200, 200, 3)
    np.testing.assert_array_equal(drawn[0, 50, 150], drawing.CHANNELS[2])
    assert not drawn[0, 100:].any() and not drawn[0, :, :100].any()
    image = np.arange(3 * 64 * 64 * 3, dtype=np.uint8).reshape(3, 64, 64, 3)
    np.testing.assert_array_equal(drawing.frames(image)[:, ::3, ::3], image)
    grey = np.stack([image[..., 0], image[..., 1]], axis=-1)
    np.testing.assert_array_equal(drawing.frames(grey)[:, ::3, ::3, 2], image[..., 1])


def test_a_strip_shows_the_hidden_state_beside_what_is_seen():
    env = make_env("popgym:PositionOnlyCartPoleEasy", observe="both")
    panels = gallery.strip(env, gallery._play(env)[0]).axes
    assert [panel.get_ylabel() for panel in panels] == ["seen", "hidden", "reward"]
    seen, hidden = (panel.images[0].get_array() for panel in panels[:2])
    assert seen.shape == (2, gallery.STEPS) and hidden.shape == (4, gallery.STEPS)
    np.testing.assert_array_equal(seen, hidden[[0, 2]])


def test_a_strip_of_fields_shows_all_of_them():
    class Fields(Constant):
        def observation_space(self, params):
            one = super().observation_space(params)
            return spaces.Dict({"board": one, "time": one})

        def observe(self, *given):
            return dict.fromkeys(("board", "time"), super().observe(*given))

    one = Fields()
    env = JaxVecEnv(one, one.default_params, 1, "own:Fields")
    panels = gallery.strip(env, gallery._play(env)[0]).axes
    assert [panel.get_ylabel() for panel in panels] == ["seen", "reward"]
    assert panels[0].images[0].get_array().shape == (2, gallery.STEPS)


def test_an_environment_draws_what_it_shows_and_nothing_else():
    class Drawn(Constant):
        def pictures(self, obs):
            return np.full((len(obs), 100, 100, 3), 7, np.uint8)

    one = Drawn()
    env = JaxVecEnv(one, one.default_params, 1, "own:Drawn")
    drawn = drawing.drawing(env)
    steps, kept = gallery._play(env, drawn)
    np.testing.assert_array_equal(kept, steps.obs)
    assert drawn.images(kept).shape == (gallery.STEPS, 200, 200, 3)
    assert (drawn.images(kept) == 7).all()
    assert drawing.drawing(wrappers.EpisodeStatistics(env)) is not None
    assert drawing.drawing(wrappers.PreviousAction(env)) is None
    assert drawing.drawing(make_env("probe:Constant")) is None


class Steps(Truncated):
    """Draws how many steps its state has seen."""

    missing = False

    def to_draw(self, state):
        return state.time

    def pictures(self, kept):
        return np.broadcast_to(np.uint8(kept)[:, None, None, None], (len(kept), 200, 200, 3))

    def check_pictures(self):
        if self.missing:
            raise InputError("no paint")


def test_an_environment_draws_its_states_whatever_is_seen_of_them():
    one = StickyActions(Steps(), 0.5)
    env = JaxVecEnv(one, one.default_params, 1, "own:Steps")
    env = Delayed(wrappers.EpisodeStatistics(wrappers.PreviousAction(env)), 2)
    drawn = drawing.drawing(env)
    steps, kept = gallery._play(env, drawn)
    images = drawn.images(kept)
    assert images.dtype == np.uint8 and steps.reset.sum() > 5
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(gallery.STEPS) % 10)

    def act(carry, obs, reset, key):
        return carry, jax.numpy.zeros(1, int)

    seeds, played = video.play(env, act, None, jax.random.key(0), 9, 100, drawn=drawn)
    images, _ = video._images(env, seeds, played, drawn)
    assert [image[0, 0, 0] for image in images] == [t % 10 for t in range(91)]


def test_what_cannot_be_drawn_here_is_a_strip_and_says_why(tmp_path, monkeypatch):
    one = Steps()
    env = JaxVecEnv(one, one.default_params, 1, "own:Steps")
    monkeypatch.setattr(Steps, "missing", True)
    monkeypatch.setattr(gallery.rlseq, "make_env", lambda id, **options: env)
    said = []
    image, _ = gallery.gallery(tmp_path, ["probe:Truncated"], said.append)
    assert said == ["own:Steps is shown as a strip over time: no paint", str(image)]
    assert image.suffix == ".png"


def test_unknown_ids_are_refused(tmp_path):
    with pytest.raises(InputError, match="Did you mean"):
        gallery.gallery(tmp_path, ["probe:Leek"])


def test_a_signal_leaves_whole_images_and_their_page(tmp_path, capsys):
    def show(line):
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="after 1 of 2 environments: the images so far are in"):
        gallery.gallery(tmp_path, ["probe:Leak", "probe:Constant"], show)
    assert {path.name for path in tmp_path.iterdir()} == {"probe_Leak.png", "README.md"}
    assert "probe_Leak.png" in (tmp_path / "README.md").read_text()


def test_a_image_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    gallery.gallery(tmp_path, ["probe:Leak"], print)
    before = (tmp_path / "probe_Leak.png").read_bytes()

    def torn(self, path, **options):
        path.write_bytes(b"half")
        raise OSError("no space")

    monkeypatch.setattr(gallery.Figure, "savefig", torn)
    with pytest.raises(OSError, match="no space"):
        gallery.gallery(tmp_path, ["probe:Leak"], print)
    assert (tmp_path / "probe_Leak.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2
