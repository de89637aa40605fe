"""Squared norms of directions, whatever torch's version and the precision."""
import pytest
import torch

from agvm_mm.measuring.direction import (
    Parameter,
    chunks,
    squared_norms,
    update_directions,
)


def gradients(dtype, count=5):
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(3, i + 1, generator=generator) for i in range(count)
    ]
    return [(Parameter(torch.nn.Parameter(t), i % 2, {}, str(i)), t.to(dtype))
            for i, t in enumerate(tensors)]


def by_module(found):
    return {module: square.item() for module, square in found}


@pytest.mark.parametrize(
    'dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_norms_need_nothing_that_torch_2_0_lacks(dtype, monkeypatch):
    """torch._foreach_norm takes a dtype from 2.4 on only."""
    foreach_norm = torch._foreach_norm

    def old_signature(tensors, ord=2):
        return foreach_norm(tensors, ord)

    monkeypatch.setattr(torch, '_foreach_norm', old_signature)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    pairs = gradients(dtype)
    expected = {
        module: sum(
            float(g.double().square().sum()) for p, g in pairs
            if p.module == module)
        for module in (0, 1)
    }
    assert by_module(squared_norms(
        optimizer, pairs)) == pytest.approx(expected, rel=1e-6)


def test_a_half_has_room_for_its_squares():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    (parameter, grad), = gradients(torch.float16, 1)
    large = torch.full_like(grad, 6e4)
    found = by_module(squared_norms(optimizer, [(parameter, large)]))
    assert found[0] == pytest.approx(3 * float(large[0, 0])**2, rel=1e-6)


def test_a_half_has_room_for_its_second_moments():
    """Whose eps is 0 in half precision, and 1e3 / 1e-2 is infinite."""
    tensor = torch.nn.Parameter(torch.zeros(3, dtype=torch.float16))
    optimizer = torch.optim.Adam([tensor], eps=1e-8)
    moment = torch.tensor([1e-4, 1e-4, 0.0], dtype=torch.float16)
    optimizer.state[tensor] = dict(exp_avg_sq=moment)
    parameter = Parameter(tensor, 0, optimizer.param_groups[0], 'weight')
    grad = torch.tensor([1e3, 0.5, 1e-3], dtype=torch.float16)
    (_, found), = update_directions(optimizer, [(parameter, grad)])
    torch.testing.assert_close(
        found, grad.float() / (moment.float().sqrt() + 1e-8))


def test_chunks_keep_the_order(monkeypatch):
    monkeypatch.setattr('agvm_mm.measuring.direction.CHUNK', 10)
    pairs = gradients(torch.float32)
    cut = list(chunks(pairs))
    assert [p.name for chunk in cut for p, _ in chunk] == list('01234')
    assert [len(chunk) for chunk in cut] == [3, 1, 1]
