"""mlstm and slstm against the xlstm package of their authors.

Needs the extra `parity`; skipped without it.
"""

import numpy as np

from .torch_parity import LENGTH, WIDTH, compare, conv_weight, imported, transposed

HEADS = 4


def test_slstm():
    torch, xlstm = imported("torch", "xlstm")
    config = xlstm.sLSTMLayerConfig(
        embedding_dim=WIDTH, num_heads=HEADS, backend="vanilla", dtype="float32"
    )

    def rename(p):
        i, f, z, o = map(transposed, p["maps"])
        recurrent = np.moveaxis(np.asarray(p["recurrent"]), 1, 3)
        return {
            # Their module `fgate` makes the input gate, and the other way round.
            "fgate.weight": i,
            "igate.weight": f,
            "zgate.weight": z,
            "ogate.weight": o,
            "conv1d.conv.weight": conv_weight(p["window"]["weight"]),
            "conv1d.conv.bias": p["window"]["bias"],
            "slstm_cell._recurrent_kernel_": recurrent.reshape(HEADS, -1, WIDTH // HEADS),
            "slstm_cell._bias_": p["bias"],
            "group_norm.weight": p["scale"],
        }

    theirs = xlstm.sLSTMLayer(config)
    theirs.group_norm.residual_weight = False  # its weight is the scale, not what is added to 1
    compare(torch, "slstm", theirs, rename, heads=HEADS)


def test_mlstm():
    torch, xlstm = imported("torch", "xlstm")
    config = xlstm.mLSTMLayerConfig(
        embedding_dim=WIDTH,
        num_heads=HEADS,
        context_length=LENGTH,
        round_proj_up_to_multiple_of=1,
    )

    def rename(p):
        q, k, v = map(transposed, p["maps"])
        write, forget = np.split(np.asarray(p["gates"]), 2, axis=1)
        return {
            "proj_up.weight": transposed(p["inputs"]["dense"]["kernel"]),
            "q_proj.weight": q,
            "k_proj.weight": k,
            "v_proj.weight": v,
            "conv1d.conv.weight": conv_weight(p["window"]["weight"]),
            "conv1d.conv.bias": p["window"]["bias"],
            "mlstm_cell.igate.weight": transposed(write),
            "mlstm_cell.igate.bias": p["write_bias"],
            "mlstm_cell.fgate.weight": transposed(forget),
            "mlstm_cell.fgate.bias": p["forget_bias"],
            "mlstm_cell.outnorm.weight": p["scale"],
            "learnable_skip": p["skip"],
            "proj_down.weight": transposed(p["output"]["dense"]["kernel"]),
        }

    theirs = xlstm.mLSTMLayer(config)
    theirs.mlstm_cell.outnorm.residual_weight = False  # as in slstm
    compare(torch, "mlstm", theirs, rename, heads=HEADS)
