"""Gradients carried forward in time: a memory learns at every step, and no past input is kept.

An estimator steps a core and hands back, beside its output, a pullback: from the gradient of a loss
by that output to an estimate of the gradient by the parameters, through all steps since the reset.
"""

from rlseq.online.encoded import Encoded
from rlseq.online.estimators import ESTIMATORS, make_estimator
from rlseq.online.types import Estimator, Trace

__all__ = ["ESTIMATORS", "Encoded", "Estimator", "Trace", "make_estimator"]
