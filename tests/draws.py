"""Random arrays by NumPy, which the laws of the package draw from as well."""

from rlseq.laws.draws import Draws as Draws
