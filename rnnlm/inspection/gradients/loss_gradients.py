"""How much the loss at a position changes with the vectors of the words read before it: ||dloss(t)/dx(s)||, through all layers.

x is what the lowest layer reads for a word (its vector, what its characters say), loss(t) the surprisal, in nats, of the token that
follows the one read at t. All is a total derivative: gates, cells and connections between layers are gone through as in training.
"""

import torch
from torch import Tensor

from rnnlm.neural.layers.layer import State
from rnnlm.neural.network import Network


def loss_gradients(network: Network, x_TBE: Tensor, at_B: Tensor, targets_B: Tensor, state: State) -> tuple[Tensor, Tensor]:
    """Of each row the norms, by the step s that x was read at, (T, B), float64, in nats per unit of length; and the loss in nats, (B,).
    at_B: the step t whose loss it is. state: before the first step."""
    x_TBE = x_TBE.detach().clone().requires_grad_()
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # cuDNN has no backward pass in evaluation mode
        y_TBH, _ = network.body(x_TBE, state, *network.feedback)
        features_1BE = network.projection(y_TBH[at_B, torch.arange(len(at_B), device=y_TBH.device)].unsqueeze(0))
        loss_B = -network.score_features(features_1BE, targets_B.unsqueeze(0))[0]
        (gradient_TBE,) = torch.autograd.grad(loss_B.sum(), [x_TBE])
    return gradient_TBE.double().norm(dim=2), loss_B.detach()
