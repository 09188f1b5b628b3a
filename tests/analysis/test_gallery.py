"""The gallery: a file an environment, of the right kind, with what was seen in it."""

import os
import signal

import imageio.v3 as imageio
import numpy as np
import pytest
from gymnax.environments import spaces

from rlseq import cli
from rlseq.analysis import gallery
from rlseq.envs import catalogue, make_env, wrappers
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
    drawn = gallery.frames(image)
    assert drawn.shape == (1, 200, 200, 3)
    np.testing.assert_array_equal(drawn[0, 50, 150], gallery.CHANNELS[2])
    assert not drawn[0, 100:].any() and not drawn[0, :, :100].any()
    image = np.arange(3 * 64 * 64 * 3, dtype=np.uint8).reshape(3, 64, 64, 3)
    np.testing.assert_array_equal(gallery.frames(image)[:, ::3, ::3], image)
    grey = np.stack([image[..., 0], image[..., 1]], axis=-1)
    np.testing.assert_array_equal(gallery.frames(grey)[:, ::3, ::3, 2], image[..., 1])


def test_a_strip_shows_the_hidden_state_beside_what_is_seen():
    env = make_env("popgym:PositionOnlyCartPoleEasy", observe="both")
    panels = gallery.strip(env, gallery._play(env)).axes
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
    panels = gallery.strip(env, gallery._play(env)).axes
    assert [panel.get_ylabel() for panel in panels] == ["seen", "reward"]
    assert panels[0].images[0].get_array().shape == (2, gallery.STEPS)


def test_an_environment_draws_what_it_shows_and_nothing_else():
    class Drawn(Constant):
        def pictures(self, obs):
            return np.full((len(obs), 3, 4, 3), 7, np.uint8)

    one = Drawn()
    env = JaxVecEnv(one, one.default_params, 1, "own:Drawn")
    steps = gallery._play(env)
    np.testing.assert_array_equal(gallery.drawing(env)(steps.obs), one.pictures(steps.obs))
    assert gallery.drawing(wrappers.EpisodeStatistics(env)) == one.pictures
    assert gallery.drawing(wrappers.PreviousAction(env)) is None
    assert gallery.drawing(make_env("probe:Constant")) is None


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
