"""Which updates are measured, and what a checkpoint tells of them."""
import pytest

from agvm_mm.engine.clock import Clock


def measured(clock, updates):
    found = []
    for _ in range(updates):
        if clock.measures:
            found.append(clock.updates)
        clock.tick()
    return found


@pytest.mark.parametrize(('options', 'expected'), [
    ((0, None, 1, 1), [0, 1, 2, 3, 4, 5, 6, 7]),
    ((3, None, 2, 4), [3, 5, 7]),
    ((3, 6, 2, 4), [3, 5]),
    ((3, 3, 2, 4), []),
    ((0, 0, 1, 1), []),
    (('auto', None, 1, 1), []),
])
def test_updates(options, expected):
    assert measured(Clock(*options), 8) == expected


def test_modulated_updates_are_those_from_begin_to_end():
    clock = Clock(2, 5, 2, 1)
    found = []
    for _ in range(8):
        found.append(clock.modulates)
        clock.tick()
    assert found == [2 <= u < 5 for u in range(8)]


def test_a_checkpoint_tells_the_updates_and_nobody_else():
    clock = Clock('auto', None, 10, 4)
    clock.resume_at_iteration(17)
    assert clock.updates == 4
    clock.load_state_dict(dict(updates=9, begin=254))
    clock.resume_at_iteration(17)
    assert (clock.updates, clock.begin) == (9, 254)
    assert clock.state_dict() == dict(updates=9, begin=254)


def test_a_begin_that_is_set_is_not_the_checkpoints():
    clock = Clock(5, None, 10, 4)
    clock.load_state_dict(dict(updates=9, begin=254))
    assert clock.begin == 5


@pytest.mark.parametrize(('iterations', 'expected'), [
    (None, [4, 4, 4, 4]),
    (12, [4, 4, 4, 4]),
    (10, [4, 4, 2, 4]),
    (9, [4, 4, 1, 4]),
    (8, [4, 4, 4, 4]),
])
def test_the_last_update_may_be_short(iterations, expected):
    clock = Clock(0, None, 1, 4)
    clock.iterations = iterations
    found = []
    for _ in expected:
        found.append(clock.current_micro_batches)
        clock.tick()
    assert found == expected
