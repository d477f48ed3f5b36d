"""Memory that is freed and wanted again costs no page faults once it is kept."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
{before}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    start = faults()
    for _ in range(10):
        torch.ones(2**23)
    last = faults() - start
print(last)
"""
KEEP = "from yoloscope.training.trainer import keep_freed_memory; assert keep_freed_memory()"


def faults_of_ten_tensors(before: str) -> int:
    """Page faults of writing 32 MiB ten times over, freed in between, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", FAULTS.format(before=before)], capture_output=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_kept_memory_is_not_faulted_in_again() -> None:
    """However large a page is: where memory is given back, each tensor's pages fault again."""
    assert 3 * faults_of_ten_tensors(KEEP) < faults_of_ten_tensors("")
