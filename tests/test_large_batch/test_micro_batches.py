import pytest

from agvm_mm.large_batch.micro_batches import micro_batch_sizes


@pytest.mark.parametrize(('total', 'world_size', 'most', 'sizes'), [
    (512, 4, 64, [64] * 8),
    (16, 1, 2, [2] * 8),
    (16, 3, 8, [6, 5, 5]),
    (16, 3, 3, [3] * 4 + [2] * 2),
    (512, 3, 2, [2] * 254 + [1] * 4),
])
def test_sizes(total, world_size, most, sizes):
    assert micro_batch_sizes(total, world_size, most) == sizes


def test_512_over_3_ranks():
    sizes = micro_batch_sizes(512, 3, 16)
    assert [sum(sizes[rank::3]) for rank in range(3)] == [171, 171, 170]
    assert max(sizes) <= 16
