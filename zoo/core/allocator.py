"""Memory that a process keeps once it has had it, so that a training on the CPU doesn't ask for it again in every step.

The C library's allocator hands every large block, and a tensor is one, back to the system when it is freed. Each step then gets
its activations as new pages, which the system first fills with zeros: in one training of a DenseNet that was more than half of
its time. A process that trains needs the same memory again at once, and had better keep it.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's numbers of its options, malloc.h


def keep_freed_memory() -> bool:
    """Keep freed memory for the next tensors of this process: for scripts, not for a library's import.

    The process stays as large as it once was. Returns whether the C library takes the options; elsewhere than under glibc nothing
    changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS and Windows
        return False
    # no blocks from outside the heap, and nothing cut off its end
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
