"""The optimizer's state at a checkpoint, for a branch at another batch."""
from __future__ import annotations

import copy
import re

import torch
from mmengine.optim import OptimWrapper

# Averages of squared gradients, by torch's names in Adam and RMSprop.
SECOND_MOMENTS = ('exp_avg_sq', 'max_exp_avg_sq', 'square_avg')


def rate_of(optimizer: dict) -> float:
    """The learning rate with which the next update would have been made.

    Args:
        optimizer (dict): The state of an optimizer wrapper.

    Returns:
        float: Of the whole optimizer, before any ``paramwise_cfg``.

    Raises:
        ValueError: If it is none that trains.
    """
    settings = (optimizer.get('base_param_settings')
                or optimizer['param_groups'][0])
    lr = float(settings['lr'])
    if lr <= 0:
        raise ValueError(
            f'the learning rate at the checkpoint is {lr}: no branch would '
            'learn; take an earlier checkpoint')
    return lr


def check_state(checkpoint: dict, path: str, batch: int) -> None:
    """Refuse a checkpoint that no branch can go on from.

    Args:
        checkpoint (dict): As it was saved.
        path (str): Its file.
        batch (int): The total batch that the config states.

    Raises:
        ValueError: If it holds no optimizer's state, or one of another batch.
    """
    if 'param_groups' not in checkpoint.get('optimizer', {}):
        raise ValueError(
            f'{path} holds no state of one optimizer: take a checkpoint that '
            'a training saved, with save_optimizer=True')
    text = str(checkpoint.get('meta', {}).get('cfg', ''))
    trained = re.search(r'^total_batch_size\s*=\s*(\d+)', text, re.MULTILINE)
    if trained and int(trained[1]) != batch:
        raise ValueError(
            f'{path} was trained with total_batch_size={trained[1]}, and the '
            f'config states {batch}: name the config of that training, or '
            f'add --cfg-options total_batch_size={trained[1]}')


def continue_from(wrapper: OptimWrapper, optimizer: dict,
                  times: float) -> None:
    """Take over the state of the parameters, and nothing else.

    Learning rates, betas and what else the groups hold stay the branch's own,
    and so do AGVM's factors and its count of updates.

    Args:
        wrapper (AGVMOptimWrapper): Of the branch, which finds each parameter
            by name, whatever the groups were.
        optimizer (dict): The state of the wrapper that was saved.
        times (float): See :func:`scaled_state`.
    """
    own = copy.deepcopy(wrapper.state_dict())
    wrapper.load_state_dict(optimizer)
    loaded = wrapper.state_dict()
    own['state'] = scaled_state(loaded['state'], times)
    if 'loss_scaler' in loaded:  # Or the first updates could overflow.
        own['loss_scaler'] = loaded['loss_scaler']
    wrapper.load_state_dict(own)


def scaled_state(state: dict, times: float) -> dict:
    """An optimizer's state at another batch, image by image the same.

    Malladi et al. (2022) scale Adam by a batch that makes the gradient noise
    smaller: eps / sqrt(k), and with it the root of the second moments, which
    would need some 1 / (1 - beta2) updates to get there, more than a branch
    has. What counts updates for the correction of the bias counts as many
    images. First moments stay as they are.

    Args:
        state (dict): By parameter, as ``state_dict()['state']``. It is not
            changed.
        times (float): k, the new batch over the old one; 1 where a rule does
            not move the betas.

    Returns:
        dict: The same keys.
    """
    return {
        index: {
            key: _scaled(key, value, times)
            for key, value in of_parameter.items()
        }
        for index, of_parameter in state.items()
    }


def _scaled(key: str, value: object, times: float) -> object:
    if times == 1:
        return value
    if key in SECOND_MOMENTS and torch.is_tensor(value):
        return value / times
    if key == 'step':
        if torch.is_tensor(value):
            return (value / times).round().clamp(min=1)
        return max(1, round(value / times))
    return value
