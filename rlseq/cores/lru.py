"""LRU (Orvieto et al. 2303.06349): a diagonal complex recurrence begun in a ring; scans.affine.

h[t] = L h[t-1] + g B x[t], y[t] = Re(C h[t]) + D x[t] with L = exp(-exp(nu) + i exp(theta)), so
|L| < 1 always, and the normalisation g of section 3.4 that keeps |h| near |B x| for |L| near one.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from rlseq.cores.diagonal import Ring, project_pairs
from rlseq.cores.options import MatmulDtype, Size
from rlseq.cores.recurrence import Recurrence
from rlseq.nn.projection import project


class LRU(Ring):
    """One LRU layer; the carry is the state, [B, 2, P]: real and imaginary parts.

    Raises InputError for radii that are not 0 <= radius_min < radius_max < 1.
    """

    state_size: Size = 0  # complex states; 0 means half of `features`, a carry of `features` reals
    matmul_dtype: MatmulDtype = ""  # of the products with B and C; "" is `dtype`

    @property
    def states(self) -> int:
        """P, the number of complex states."""
        return self.state_size or max(self.features // 2, 1)

    @property
    def recurrence(self) -> Recurrence:
        """A unit is a complex state."""
        axes = {"nu": -1, "theta": -1, "scale": -1, "b": -2}
        return Recurrence(axes, self.states, diagonal=True)

    def setup(self) -> None:
        n, d, dtype = self.states, self.features, jnp.dtype(self.dtype)
        self.nu = self.param("nu", self._initial_radius, (n,))
        self.theta = self.param("theta", self._initial_phase, (n,))
        # Trained on its own, as in the paper: only its start follows from the radii.
        self.scale = self.param("scale", self._initial_scale)
        normal = nn.initializers.normal
        self.b = self.param("b", normal((2 * d) ** -0.5), (2, n, d), dtype)
        self.c = self.param("c", normal(n**-0.5), (2, d, n), dtype)
        self.skip = self.param("skip", normal(1.0), (d,), dtype)

    def _drive(self, x: Array) -> tuple[tuple[Array, Array], Array]:
        """The transition ([P], [P]) and g B x [..., 2, P] from one real matmul.

        Its factors are in `matmul_dtype`; the transition, which acts at every step, is not.
        """
        radius, phase = jnp.exp(-jnp.exp(self.nu)), jnp.exp(self.theta)
        b = self.b * jnp.exp(self.scale)[None, :, None]
        drive = project(x, b.reshape(-1, b.shape[-1]).T, self.matmul_dtype)
        pairs = drive.reshape(*x.shape[:-1], 2, self.states)
        return (radius * jnp.cos(phase), radius * jnp.sin(phase)), pairs

    def _output(self, states: Array, x: Array) -> Array:
        y = project_pairs(states, self.c, self.matmul_dtype)
        return y + jnp.broadcast_to(self.skip, x.shape) * x

    def _initial_scale(self, key: Array) -> Array:
        """log sqrt(1 - |L|^2)."""
        return 0.5 * jnp.log(-jnp.expm1(-2 * jnp.exp(self.nu)))
