"""How much the loss at a position changes with the vectors of the words read before it: ||dloss(t)/dx(t-k)||, through all layers.

x is what the lowest layer reads for a word (its vector, what its characters say), loss(t) the surprisal, in nats, of the token that
follows the one read at t. All is a total derivative: gates, cells and connections between layers are gone through as in training.
"""

import torch
from torch import Tensor

from rnnlm.neural.layers.layer import State
from rnnlm.neural.network import Network


def loss_gradient_norms(network: Network, inputs_TB: Tensor, targets_B: Tensor, state: State) -> Tensor:
    """(T, B), float64, in nats per unit of length: place k is that of the word read k tokens before the last one."""
    x_TBE = network.input.vectors(inputs_TB).detach().requires_grad_()
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # cuDNN has no backward pass in evaluation mode
        y_TBH, _ = network.body(x_TBE, state, *network.feedback)
        features_1BE = network.projection(y_TBH[-1:])
        loss = -network.score_features(features_1BE, targets_B.unsqueeze(0)).sum()
        (gradient_TBE,) = torch.autograd.grad(loss, [x_TBE])
    return gradient_TBE.double().norm(dim=2).flip(0)
