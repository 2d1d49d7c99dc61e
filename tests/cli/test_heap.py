import platform

import pytest

from tests.helpers.programs import run_python

PAGES = """
import ctypes, resource, threading
from trainer.cli.heap import keep_freed_memory

keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def work():
    for _ in range(40):
        block = ctypes.c_void_p(libc.malloc(8_000_000))
        libc.memset(block, 1, 8_000_000)
        libc.free(block)

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""
PAGES_OF_ALL = 40 * 8_000_000 // 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_freed_memory_is_not_cleared_anew_unless_the_user_wants_it_so() -> None:
    kept = int(run_python("-c", PAGES).stdout)
    given_back = int(run_python("-c", PAGES, MALLOC_MMAP_THRESHOLD_="100000").stdout)
    assert given_back - kept > PAGES_OF_ALL / 2
