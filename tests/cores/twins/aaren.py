"""The twin of aaren: at every step a softmax over the whole list of the episode's past."""

import numpy as np

from .common import dense


def twin(layer, params, carry, x, reset):
    query = np.asarray(params["query"], np.float64)
    heads, head = query.shape
    keys = (x @ np.asarray(params["key"]["kernel"], np.float64)).reshape(*x.shape[:2], heads, head)
    scores = (keys * query).sum(-1) / np.sqrt(head)
    values = dense(params["value"]["dense"], x).reshape(keys.shape)
    m, u, w = (np.asarray(leaf, np.float64) for leaf in carry)
    y = np.zeros((*x.shape[:2], heads * head))
    for b in range(x.shape[1]):
        # The carry stands for one past value of some weight in each head.
        past = [(m[b] + np.log(u[b]), w[b] / u[b][:, None])]
        for t in range(len(x)):
            past = [] if reset[t, b] else past
            past.append((scores[t, b], values[t, b]))
            s = np.stack([entry[0] for entry in past])
            weight = np.exp(s - s.max(0))
            mean = (weight[..., None] * np.stack([entry[1] for entry in past])).sum(0)
            y[t, b] = (mean / weight.sum(0)[:, None]).ravel()
    return dense(params["output"]["dense"], y)
