"""CPU count under affinity and the quotas of control groups."""

from pathlib import Path

import pytest

from yoloscope.models.cpu import available_cpus, cgroup_quota

NOWHERE = Path("/nonexistent/membership")


@pytest.mark.parametrize(
    ("text", "quota"), [("max 100000", None), ("200000 100000", 2.0), ("50000 100000", 0.5), ("nonsense", None)]
)
def test_cgroup_v2_quota(tmp_path: Path, text: str, quota: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert cgroup_quota(tmp_path, NOWHERE) == quota


def test_cgroup_v1_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cgroup_quota(tmp_path, NOWHERE) == 1.5
    assert available_cpus(tmp_path, NOWHERE) == 1
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert cgroup_quota(tmp_path, NOWHERE) is None


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path, NOWHERE) is None
    assert available_cpus(tmp_path, NOWHERE) >= 1


def test_the_least_quota_of_the_groups_above_counts(tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    (root / "pods" / "one").mkdir(parents=True)
    (root / "pods" / "cpu.max").write_text("150000 100000\n")
    (root / "pods" / "one" / "cpu.max").write_text("400000 100000\n")
    membership.write_text("0::/pods/one\n")
    assert cgroup_quota(root, membership) == 1.5


def test_the_cpu_controller_of_v1_counts_and_others_do_not(tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    for path, quota in ((root / "cpu" / "a", 250_000), (root / "cpu" / "b", 50_000)):
        path.mkdir(parents=True)
        (path / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (path / "cpu.cfs_period_us").write_text("100000\n")
    membership.write_text("4:memory:/b\n3:cpu,cpuacct:/a\n")
    assert cgroup_quota(root, membership) == 2.5
