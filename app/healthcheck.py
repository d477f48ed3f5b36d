"""Ask the service of this container whether it is ready; the exit status is the answer."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

from yoloscope.app.service_links import drop_service_links


def is_ready(port: str, timeout_s: float = 4.0) -> bool:
    """Return whether the service on this machine answers /health/ready with 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=timeout_s) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    drop_service_links(os.environ)
    sys.exit(0 if is_ready(os.environ.get("YOLOSCOPE_PORT", "8000")) else 1)
