"""Every optimizer that is installed, and two modules to step with it."""
from __future__ import annotations

import importlib
import inspect
from importlib.metadata import version

import torch
from mmengine.registry import OPTIMIZERS
from mmengine.utils import digit_version, is_installed
from torch import nn
from torch.optim import Optimizer

PACKAGES = ('torch.optim', 'pytorch_optimizer', 'bitsandbytes.optim',
            'dadaptation', 'prodigyopt', 'lion_pytorch', 'schedulefree',
            'sophia_opt')
# Those for Python 3.8 are others inside.
TABLE_IS_OF_IT = is_installed('pytorch-optimizer') and digit_version(
    version('pytorch-optimizer')) >= digit_version('4.1')
STILL = 1 - 1e-7  # a decay at which a moment stays as it is

# What a class needs beside its parameters and a learning rate.
OPTIONS = {
    # Else it differs from its kind by what decides too early: eps = 1e-3.
    'pytorch_optimizer.Yogi': dict(eps=1e-8),
    'pytorch_optimizer.Ranger21': dict(num_iterations=100),
    'pytorch_optimizer.SaRA': dict(threshold=10.0),
    'pytorch_optimizer.BSAM': dict(num_data=100),
    'torch.SGD': dict(momentum=0.9, weight_decay=0.1),
    **{f'bitsandbytes.{name}': dict(momentum=0.9) for name in (
        'SGD', 'SGD8bit', 'SGD32bit', 'LARS', 'LARS8bit', 'LARS32bit',
        'PytorchLARS')},
}  # yapf: disable
# What a class wants to find in its groups.
GROUP = {
    f'pytorch_optimizer.{name}': dict(use_muon=True)
    for name in ('AdaGO', 'AdaMuon', 'Muon', 'MuonClip', 'NorMuon')
}
MATRICES_ONLY = ('torch.Muon', 'pytorch_optimizer.SpectralSphere', *GROUP)
# Computes in single precision, whatever its parameters are.
SINGLE = ('bitsandbytes.', 'pytorch_optimizer.FAdam')


def name_of(cls):
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def is_optimizer(cls):
    return (inspect.isclass(cls) and issubclass(cls, Optimizer)
            and cls is not Optimizer)


def installed():
    """All optimizers of the packages that can be imported, by name."""
    found = [c for c in OPTIMIZERS.module_dict.values() if is_optimizer(c)]
    for package in PACKAGES:
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        if package == 'pytorch_optimizer' and not TABLE_IS_OF_IT:
            continue
        found += [c for c in vars(module).values() if is_optimizer(c)]
    try:
        from transformers import Adafactor
        found.append(Adafactor)
    except ImportError:
        pass
    return {
        name_of(cls): cls
        for cls in found if not cls.__module__.startswith('tests.')
    }


class TwoModules(nn.ModuleDict):

    def __init__(self, dtype, matrices_only):
        torch.manual_seed(0)
        super().__init__({
            name: nn.Linear(size, 8, bias=not matrices_only)
            for name, size in (('a', 80), ('b', 6))
        })
        self.to(dtype)


class Stepped:
    """An optimizer after some steps on random gradients.

    Args:
        cls (type): The optimizer's class.
        steps (int): How many. Defaults to 9.
        groups (list[str]): Of modules: 'ab' is one group of both. Defaults to
            a group for each.
        **options: For the class.
    """

    def __init__(self, cls, steps=9, groups=('a', 'b'), **options):
        self.name = name_of(cls)
        dtype = torch.float32 if self.single else torch.float64
        self.model = TwoModules(dtype, self.name in MATRICES_ONLY)
        options = {**OPTIONS.get(self.name, {}), **options}
        if 'lr' in inspect.signature(cls).parameters:
            options.setdefault('lr', 1e-2)
        self.optimizer = cls([
            dict(
                params=[
                    p for name in names for p in self.model[name].parameters()
                ],
                module=names,
                **GROUP.get(self.name, {})) for names in groups
        ], **options)
        if hasattr(self.optimizer, 'train'):
            self.optimizer.train()
        for seed in range(steps):
            self.step(seed)

    @property
    def single(self):
        return self.name.startswith(SINGLE)

    def gradients(self, seed, scale=1.0):
        """Set them to random values, as all optimizers see them."""
        generator = torch.Generator().manual_seed(seed)
        for p in self.model.parameters():
            noise = torch.randn(p.shape, generator=generator) * 0.1
            grad = noise.to(p.dtype) * scale
            if self.name == 'torch.SparseAdam':
                # With each of its rows, whatever stands in them.
                grad = torch.sparse_coo_tensor(
                    torch.ones_like(p).nonzero().t(), grad.flatten(), p.shape)
            p.grad = grad

    def step(self, seed, scale=1.0):
        """Step on these gradients; return how far each parameter went."""
        before = [p.detach().clone() for p in self.model.parameters()]
        self.gradients(seed, scale)
        torch.manual_seed(1)
        self.optimizer.step()
        return [(p.detach() - b).double()
                for p, b in zip(self.model.parameters(), before)]

    def hold_moments(self):
        """Let no moment follow the next gradient."""
        for group in self.optimizer.param_groups:
            betas = group.get('betas')
            if betas is not None and self.name != 'pytorch_optimizer.AggMo':
                group['betas'] = (betas[0], STILL, *betas[2:])
            for key in ('alpha', 'rho'):
                if isinstance(group.get(key), float):
                    group[key] = STILL
