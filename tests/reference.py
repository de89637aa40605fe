"""A slow, obvious AGVM: what every fast path is stepped beside.

It holds every replica's gradient, flattens whole modules in double precision
and writes the formulas of the paper down, one parameter group a parameter.
"""
from __future__ import annotations

import torch


class ReferenceAGVM:

    def __init__(self,
                 model,
                 optimizer,
                 modules,
                 *,
                 begin,
                 end=None,
                 interval=10,
                 anchor='backbone',
                 momentum=0.97,
                 estimator='replica',
                 half=None,
                 ratio_range=(0.5, 10.0)):
        self.parameters = dict(model.named_parameters())
        type_, options = optimizer
        self.optimizer = type_([
            dict(params=[parameter], name=name)
            for name, parameter in self.parameters.items()
        ], **options)
        self.modules = modules
        self.begin = begin
        self.end = float('inf') if end is None else end
        self.interval = interval
        self.anchor = anchor
        self.momentum = momentum
        self.estimator = estimator
        self.half = half  # replicas, of the first half batch
        self.ratio_range = ratio_range
        self.lr_scale = dict.fromkeys(modules, 1.0)
        self.noise_scale = dict(
            noise=dict.fromkeys(modules, 0.0),
            signal=dict.fromkeys(modules, 0.0))
        self.variance = {}
        self.updates = 0

    def step(self, replica_losses, sizes=None):
        """One update from a list of scalar losses, one a replica.

        Sizes are the samples of each replica, where they differ.
        """
        sizes = sizes or [1] * len(replica_losses)
        weights = [len(sizes) * size / sum(sizes) for size in sizes]
        replicas = []
        for loss in replica_losses:
            grads = torch.autograd.grad(
                loss, list(self.parameters.values()), allow_unused=True)
            replicas.append({
                name: torch.zeros_like(p) if g is None else g
                for (name, p), g in zip(self.parameters.items(), grads)
            })
        mean = {
            name: sum(w * r[name]
                      for w, r in zip(weights, replicas)) / len(replicas)
            for name in self.parameters
        }
        in_force = self.begin <= self.updates < self.end
        if in_force and (self.updates - self.begin) % self.interval == 0:
            self.measure(replicas, weights, sum(sizes) / len(sizes))
        module_of = {
            name: module
            for module, names in self.modules.items()
            for name in names
        }
        for name, parameter in self.parameters.items():
            parameter.grad = mean[name]
        lrs = [group['lr'] for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            if in_force:
                group['lr'] *= self.lr_scale[module_of[group['name']]]
        self.optimizer.step()
        for group, lr in zip(self.optimizer.param_groups, lrs):
            group['lr'] = lr
        self.updates += 1

    def measure(self, replicas, weights, samples):
        variance = {}
        for module, names in self.modules.items():
            vectors = [self.direction(r, names) for r in replicas]
            if vectors[0] is None:
                variance[module] = float('nan')
            elif self.estimator == 'half_batch':
                half = self.half or len(vectors) // 2
                g1 = self.mean(vectors[:half], weights[:half])
                g2 = self.mean(vectors[half:], weights[half:])
                cosine = (g1 @ g2) / (g1.norm() * g2.norm())
                variance[module] = 1 - cosine.item()
            else:
                variance[module] = self.all_splits(vectors, weights)
            if vectors[0] is not None:
                self.smooth(module, vectors, weights, samples)
        self.variance = variance
        finite = {
            m: v
            for m, v in variance.items() if v == v and abs(v) != float('inf')
        }
        if self.anchor not in finite:
            return
        low, high = self.ratio_range
        for module, phi in finite.items():
            if module == self.anchor:
                continue
            ratio = (finite[self.anchor] + 1e-6) / (phi + 1e-6)
            ratio = min(max(ratio, low), high)
            self.lr_scale[module] = (
                self.momentum * self.lr_scale[module] +
                (1 - self.momentum) * ratio**0.5)

    @staticmethod
    def mean(vectors, weights):
        return sum(w * v for w, v in zip(weights, vectors)) / sum(weights)

    def spread(self, vectors, weights):
        """S and |G|^2."""
        mean = self.mean(vectors, weights)
        covariance = sum(w * (v - mean).square().sum()
                         for w, v in zip(weights, vectors))
        return covariance / (len(vectors) - 1), mean.square().sum()

    def all_splits(self, vectors, weights):
        covariance, mean_sq = self.spread(vectors, weights)
        of_mean = covariance / len(vectors)
        return (2 * of_mean / (mean_sq + of_mean)).item()

    def smooth(self, module, vectors, weights, samples):
        """S b, and |G|^2 - S / n, whose quotient is the noise scale."""
        covariance, mean_sq = self.spread(vectors, weights)
        parts = dict(
            noise=covariance * samples,
            signal=mean_sq - covariance / len(vectors))
        for part, value in parts.items():
            self.noise_scale[part][module] = (
                self.momentum * self.noise_scale[part][module] +
                (1 - self.momentum) * value.item())

    def direction(self, replica, names):
        pieces = []
        for name in names:
            grad = replica[name].double()
            group = self.optimizer.param_groups[list(
                self.parameters).index(name)]
            if 'betas' in group:
                state = self.optimizer.state.get(self.parameters[name])
                if not state:
                    return None
                second_moment = state['exp_avg_sq'].double()
                grad = grad / (second_moment.sqrt() + group['eps'])
            pieces.append(grad.flatten())
        return torch.cat(pieces)
