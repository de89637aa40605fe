"""Every gradient of a backward pass is handed out once, in chunks."""
import pytest
import torch

from agvm_mm.measuring import backward_watch
from agvm_mm.measuring.backward_watch import BackwardWatch
from agvm_mm.measuring.direction import Parameter
from tests.toy import ToyDetector, samples


@pytest.fixture(name='model')
def _model():
    return ToyDetector().double()


def parameters_of(model):
    group = dict(params=list(model.parameters()))
    return [
        Parameter(tensor, 0, group, name)
        for name, tensor in model.named_parameters()
    ]


def loss_of(model):
    inputs, targets = samples(0)
    return model(inputs, data_samples=targets, mode='loss')['loss']


def watched(model):
    """The chunks of one backward pass."""
    chunks = []
    watch = BackwardWatch(
        parameters_of(model),
        lambda gradients: chunks.append([(p.tensor, grad.clone())
                                         for p, grad in gradients]))
    loss = loss_of(model)
    with watch.watch(loss):
        loss.backward()
    return chunks


@pytest.mark.parametrize(('chunk', 'least'), [(2**23, 1), (100, 3), (1, 12)])
def test_each_gradient_comes_once(model, monkeypatch, chunk, least):
    monkeypatch.setattr(backward_watch, 'CHUNK', chunk)
    chunks = watched(model)
    assert len(chunks) >= least
    found = dict(pair for chunk in chunks for pair in chunk)
    assert sum(map(len, chunks)) == len(found) == len(list(model.parameters()))
    for parameter in model.parameters():
        torch.testing.assert_close(found[parameter], parameter.grad)


def test_gradients_are_those_of_this_backward_pass_alone(model):
    first = watched(model)
    second = watched(model)  # .grad holds the sum of both now
    for chunk1, chunk2 in zip(first, second):
        for (_, grad1), (_, grad2) in zip(chunk1, chunk2):
            assert torch.equal(grad1, grad2)


def test_nothing_is_watched_afterwards(model):
    watched(model)
    assert not any(p._backward_hooks for p in model.parameters())


def test_a_gradient_in_parts_is_refused_by_its_name(model):
    loss = loss_of(model)
    watch = BackwardWatch(parameters_of(model), lambda gradients: None)

    def backward():
        with watch.watch(loss):
            loss.backward(retain_graph=True, inputs=[model.neck.weight])
            loss.backward(inputs=[model.neck.weight])

    with pytest.raises(
            RuntimeError, match=r'neck\.\w+ came in several parts.*reentrant'):
        backward()


def test_what_was_frozen_meanwhile_is_left_out(model):
    seen = []
    watch = BackwardWatch(
        parameters_of(model),
        lambda gradients: seen.extend(p.name for p, _ in gradients))
    model.neck.requires_grad_(False)
    loss = loss_of(model)
    with watch.watch(loss):
        loss.backward()
    assert set(seen) == {
        name
        for name, _ in model.named_parameters()
        if not name.startswith('neck')
    }
