"""POPGym Arcade's games in pixels (Wang et al. 2503.01450), half hidden or whole."""

from rlseq.envs.jax_families.extras import Extra, ExtraFamily

GAMES = (
    "AutoEncode",
    "BattleShip",
    "Breakout",
    "CartPole",
    "CountRecall",
    "MineSweeper",
    "Navigator",
    "NoisyCartPole",
    "Skittles",
    "Tetris",
)
NAMES = tuple(f"{game}{level}" for game in GAMES for level in ("Easy", "Medium", "Hard"))

FAMILY = ExtraFamily(
    "arcade",
    # It asks for stable-gymnax, whose files are written over those of gymnax, and works with these.
    Extra(
        "arcade",
        "popgym-arcade==0.0.7",
        "popgym_arcade",
        lists=("dm-pix>=0.4.5,<0.5", "jaxtyping>=0.3"),
        spoiler="stable-gymnax",
    ),
    "rlseq.envs.jax_families.arcade_env:Arcade",
    NAMES,
)
