"""Which errors say that memory is out."""
import numpy as np
import pytest
import torch

from agvm_mm.large_batch.probe.out_of_memory import is_out_of_memory


@pytest.mark.parametrize('allocate', [
    lambda: torch.empty(2**50), lambda: np.empty(2**50), lambda: bytes(2**50)
])
def test_real_allocators(allocate):
    with pytest.raises((RuntimeError, MemoryError)) as error:
        allocate()
    assert is_out_of_memory(error.value)


@pytest.mark.parametrize('said', [
    'CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; ...',
    'CUDA error: out of memory',
    'cuDNN error: CUDNN_STATUS_ALLOC_FAILED',
    'CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`',
    "[enforce fail at alloc_cpu.cpp:75] err == 0. DefaultCPUAllocator: can't "
    'allocate memory: you tried to allocate 4294967296 bytes.',
    'OpenCV(4.8.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to '
    "allocate 3072 bytes in function 'OutOfMemoryError'",
    '[Errno 12] Cannot allocate memory',
])
def test_what_libraries_say(said):
    assert is_out_of_memory(RuntimeError(said))


@pytest.mark.parametrize('error', [
    RuntimeError('mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)'),
    KeyError('gt_bboxes'),
    RuntimeError('CUDA error: device-side assert triggered'),
])
def test_errors_of_another_kind(error):
    assert not is_out_of_memory(error)
