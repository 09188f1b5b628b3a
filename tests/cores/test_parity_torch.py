"""lstm, gru, mamba1 and gated_deltanet against those of torch, mambapy and transformers.

Needs the extra `parity`; skipped without it.
"""

import numpy as np

from .torch_parity import WIDTH, compare, conv_weight, imported, transposed


def test_lstm():
    (torch,) = imported("torch")
    theirs = torch.nn.LSTM(WIDTH, WIDTH, batch_first=True)
    # torch has two biases where one will do; each has the whole gradient.
    shape = theirs.bias_hh_l0.shape
    del theirs.bias_hh_l0
    theirs.register_buffer("bias_hh_l0", torch.zeros(shape), persistent=False)

    def rename(p):
        return {
            "weight_ih_l0": transposed(p["inputs"]["kernel"]),
            "weight_hh_l0": transposed(p["recurrent"]),
            "bias_ih_l0": p["bias"],
        }

    compare(torch, "lstm", theirs, rename)


def test_gru():
    (torch,) = imported("torch")

    def rename(p):
        return {
            "weight_ih_l0": transposed(p["inputs"]["kernel"]),
            "weight_hh_l0": transposed(p["recurrent"]),
            "bias_ih_l0": p["inputs"]["bias"],
            "bias_hh_l0": p["bias"],
        }

    compare(torch, "gru", torch.nn.GRU(WIDTH, WIDTH, batch_first=True), rename)


def test_mamba1():
    torch, mambapy = imported("torch", "mambapy.mamba")
    state, rank = 8, 3
    config = mambapy.MambaConfig(WIDTH, 1, dt_rank=rank, d_state=state, pscan=False)

    def rename(p):
        return {
            "in_proj.weight": transposed(p["inputs"]["dense"]["kernel"]),
            "conv1d.weight": conv_weight(p["window"]["weight"]),
            "conv1d.bias": p["window"]["bias"],
            "x_proj.weight": transposed(p["select"]["dense"]["kernel"]),
            "dt_proj.weight": transposed(p["steps"]["dense"]["kernel"]),
            "dt_proj.bias": p["step_bias"],
            "A_log": transposed(p["rates"]),
            "D": p["skip"],
            "out_proj.weight": transposed(p["output"]["dense"]["kernel"]),
        }

    theirs = mambapy.MambaBlock(config)
    compare(torch, "mamba1", theirs, rename, state=state, rank=rank)


def test_gated_deltanet():
    torch, qwen, configs = imported(
        "torch",
        "transformers.models.qwen3_next.modeling_qwen3_next",
        "transformers.models.qwen3_next.configuration_qwen3_next",
    )
    head, expand = 4, 2
    heads, wide = WIDTH // head, expand * WIDTH
    config = configs.Qwen3NextConfig(
        hidden_size=WIDTH,
        num_hidden_layers=1,
        layer_types=["linear_attention"],
        linear_num_value_heads=heads,
        linear_num_key_heads=heads,
        linear_key_head_dim=head,
        linear_value_head_dim=expand * head,
        rms_norm_eps=1e-5,
    )

    def by_head(*parts):
        """Rows [heads size, in] of each part, all parts of a head together."""
        parts = [transposed(part).reshape(heads, -1, WIDTH) for part in parts]
        return np.concatenate(parts, axis=1).reshape(-1, WIDTH)

    def rename(p):
        kernel = np.asarray(p["inputs"]["dense"]["kernel"])
        cuts = np.cumsum([WIDTH, WIDTH, wide, wide, heads])
        q, k, v, z, b, a = np.split(kernel, cuts, axis=1)
        return {
            "in_proj_qkvz.weight": by_head(q, k, v, z),
            "in_proj_ba.weight": by_head(b, a),
            "conv1d.weight": conv_weight(p["window"]["weight"]),
            "A_log": p["rate"],
            "dt_bias": p["step_bias"],
            "norm.weight": p["norm"]["scale"],
            "out_proj.weight": transposed(p["output"]["dense"]["kernel"]),
        }

    theirs = qwen.Qwen3NextGatedDeltaNet(config, 0)
    compare(torch, "gated_deltanet", theirs, rename, head=head, expand=expand)
