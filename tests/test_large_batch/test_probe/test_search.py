"""The largest size that fits is found by few tries."""
import pytest

from agvm_mm.large_batch.probe.search import largest_that_fits


@pytest.mark.parametrize('sizes', [
    range(1, 101), [1, 2, 4, 8, 16, 32], [1, 7, 11, 77], [2, 3, 5, 6, 30], [4]
])
def test_it_is_found_whatever_it_is(sizes):
    for limit in range(max(sizes) + 2):
        tried = []

        def fits(size, limit=limit, tried=tried):
            tried.append(size)
            return size <= limit

        found = largest_that_fits(fits, list(sizes))
        within = [size for size in sizes if size <= limit]
        beyond = [size for size in sizes if size > limit]
        assert found.fits == (within[-1] if within else None)
        assert found.too_large == (beyond[0] if beyond else None)
        assert found.tries == len(tried) == len(set(tried))
        # Nothing is tried that is far above what fits.
        smallest_step = [size for size in sizes if size > 2 * limit][:1]
        assert max(tried) <= max([2 * limit, sizes[0], *smallest_step])


def test_few_tries():
    tried = []
    largest_that_fits(lambda size: tried.append(size) or size <= 37,
                      range(1, 1001))
    assert tried == [1, 2, 4, 8, 16, 32, 64, 48, 40, 36, 38, 37]
