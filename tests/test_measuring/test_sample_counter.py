import copy
import pickle

import pytest
import torch

from agvm_mm.measuring.sample_counter import SampleCounter
from tests.toy import ToyDetector


@pytest.fixture(name='counted')
def _counted():
    model, counter = ToyDetector(), SampleCounter()
    for _ in range(3):
        counter.attach(model)  # once is enough
    return model, counter


@pytest.mark.parametrize(
    'call', [
        lambda model, x: model(x),
        lambda model, x: model(inputs=x),
        lambda model, x: model(x, data_samples=list(x)),
    ],
    ids=['positional', 'inputs', 'data_samples'])
def test_it_counts_one_forward_pass(counted, call):
    model, counter = counted
    call(model, torch.zeros(5, 6))
    assert counter.take() == 0
    counter.start()
    call(model, torch.zeros(5, 6))
    call(model, torch.zeros(2, 6))
    counter.stop()
    call(model, torch.zeros(2, 6))
    assert counter.take() == 5
    assert counter.take() == 0


def test_only_what_is_called_for_a_loss_counts(counted):
    model, counter = counted
    counter.start()
    model(torch.zeros(2, 6), mode='predict')
    model(torch.zeros(5, 6), torch.zeros(5, 1), mode='loss')
    assert counter.take() == 5


def test_a_forward_pass_without_a_backward_pass_is_forgotten(counted):
    model, counter = counted
    for size in (5, 3):
        counter.start()
        model(torch.zeros(size, 6))
        counter.stop()
    assert counter.take() == 3


def test_what_has_no_length_counts_nothing():

    class Model(torch.nn.Module):

        def forward(self, inputs):
            return inputs

    model, counter = Model(), SampleCounter()
    counter.attach(model)
    counter.start()
    model(3.0)
    assert counter.take() == 0


@pytest.mark.parametrize(
    'copied', [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=['deepcopy', 'pickle'])
def test_a_copy_of_the_model_counts_nothing(counted, copied):
    model, counter = counted
    counter.start()
    other = copied(model)
    other(torch.zeros(5, 6))
    assert counter.take() == 0
    model(torch.zeros(5, 6))
    assert counter.take() == 5
