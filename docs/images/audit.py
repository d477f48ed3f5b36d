"""Takes docs/images/audit.jpg, the page of an audit of BCCD: `python docs/images/audit.py data/bccd`; needs chromium.

The blood cells are those of BCCD (https://github.com/Shenggan/BCCD_Dataset, MIT license).
"""

import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright


def main(data: Path) -> None:
    """Audit the validation images by the built-in model and photograph the page, some findings decided."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["audit", "--data", str(data), "--split", "val", "--model", "builtin", "--output", folder]
        command = [sys.executable, "-m", "yoloscope.app.cli", *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 (our own command)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1200, "height": 640})
            page.goto((Path(folder) / "report.html").as_uri())
            page.locator("#location").scroll_into_view_if_needed()
            page.evaluate("document.getElementById('location').scrollIntoView()")
            cards = page.locator("#location ~ .cards").first.locator(".card")
            for position, verdict in enumerate(("Accept", "Accept", "Reject")):
                cards.nth(position).get_by_role("button", name=verdict).click()
            page.evaluate("document.getElementById('location').scrollIntoView()")
            shot = page.screenshot()
            browser.close()
    Image.open(BytesIO(shot)).convert("RGB").save(Path(__file__).with_name("audit.jpg"), quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
