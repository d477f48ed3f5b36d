"""The worker as a program that says when it is in its second shard, and waits there for a file: ``FOLDER/go``."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from yoloscope.app.services.audits import worker
from yoloscope.training.data.datasets import LabeledImage
from yoloscope.training.diagnostics.audit import LabelAuditor
from yoloscope.training.diagnostics.findings import ImageAudit

IN_A_SHARD = "in a shard"


def main(go: Path) -> None:
    audit, calls = LabelAuditor.audit, 0

    def pausing(auditor: LabelAuditor, images: Sequence[LabeledImage], root: Path) -> list[ImageAudit]:
        nonlocal calls
        calls += 1
        if calls == 2:
            sys.stdout.write(f"{IN_A_SHARD}\n")
            sys.stdout.flush()
            while not go.exists():
                time.sleep(0.02)
        return audit(auditor, images, root)

    with patch.object(LabelAuditor, "audit", pausing):
        worker.main()


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "go")
