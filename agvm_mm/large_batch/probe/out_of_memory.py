"""Whether an error says that memory is out."""
from __future__ import annotations

# What torch's allocators on CUDA and on the CPU, cuDNN, cuBLAS, C++, the
# operating system, the dynamic linker and OpenCV say, in small letters. cuDNN
# and cuBLAS tell it as an error of their own, if their engines find no room.
SIGNS = ('out of memory', "can't allocate memory", 'cannot allocate memory',
         'not enough memory', 'insufficient memory', 'failed to allocate',
         'status_alloc_failed', 'bad_alloc', 'failed to map segment',
         "can't start new thread", 'unable to find an engine',
         'cudnn_status_internal_error', 'cublas_status_not_initialized')


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is out.

    Args:
        error (BaseException): That was caught.
    """
    if isinstance(error, MemoryError):  # NumPy's is one too
        return True
    said = str(error).lower()
    return any(sign in said for sign in SIGNS)
