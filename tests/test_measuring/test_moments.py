"""Second moments that an optimizer keeps packed, in bytes."""
import pytest
import torch

from agvm_mm.measuring.moments import of_bitsandbytes, of_bitsandbytes_with_one


@pytest.mark.parametrize(('numel', 'block'), [(5000, 256), (5000, 2048),
                                              (256, 2048), (7, 256)])
@pytest.mark.parametrize(('which', 'moment_of'),
                         [('2', of_bitsandbytes),
                          ('1', of_bitsandbytes_with_one)])
def test_packed_states(numel, block, which, moment_of):
    """Blocks of bytes, each with a scale, as bitsandbytes writes them."""
    generator = torch.Generator().manual_seed(0)
    packed = torch.randint(
        0, 256, (numel, ), dtype=torch.uint8, generator=generator)
    code = torch.linspace(0, 1, 256)
    scales = torch.arange(1.0, 1 - (-numel // block))
    moment, _ = moment_of(
        {
            f'state{which}': packed,
            f'qmap{which}': code,
            f'absmax{which}': scales
        }, dict(eps=1e-8))
    expected = code[packed.long()] * scales[torch.arange(numel) // block]
    assert torch.equal(moment, expected)
    assert moment_of({f'state{which}': packed}, dict(eps=1e-8)) is None
