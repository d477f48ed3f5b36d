"""CVAT auto-annotation by a running Yoloscope service; needs only ``cvat-sdk`` beside Python's own library.

``cvat-cli task auto-annotate TASK --function-file cvat.py -p url=str:http://127.0.0.1:8000 -p model=str:builtin``.
Source of the interface: https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvat_sdk.auto_annotation import DetectionFunctionContext, DetectionFunctionSpec
    from cvat_sdk.models import LabeledShapeRequest
    from PIL.Image import Image

_TIMEOUT_S = 120.0


class YoloscopeFunction:
    """A detection function of CVAT: its labels are the classes of a served model, its boxes what that detects.

    Raises ConnectionError saying what the service answered.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", model: str = "") -> None:
        self._url, self._model = url.rstrip("/"), model
        name = model or str(self._call("/v1/models")["default"])
        described = self._call(f"/v1/models/{quote(name, safe='')}")
        self._ids = {str(class_name): index for index, class_name in enumerate(described["spec"]["class_names"])}

    @property
    def spec(self) -> DetectionFunctionSpec:
        """The labels of the function; CVAT matches them with those of a task by name."""
        import cvat_sdk.auto_annotation as cvataa  # noqa: PLC0415 - only CVAT's side has it

        labels = [cvataa.label_spec(name, index, type="rectangle") for name, index in self._ids.items()]
        return cvataa.DetectionFunctionSpec(labels=labels)

    def detect(self, context: DetectionFunctionContext, image: Image) -> list[LabeledShapeRequest]:
        """Return the detections in one frame; below CVAT's threshold (else the service's own) there are none."""
        import cvat_sdk.auto_annotation as cvataa  # noqa: PLC0415 - only CVAT's side has it

        data = BytesIO()
        image.convert("RGB").save(data, "PNG", compress_level=1)
        options = {"model": self._model} if self._model else {}
        if context.conf_threshold is not None:
            options["score_threshold"] = str(context.conf_threshold)
        answer = self._call(f"/v1/detect?{urlencode(options)}", data.getvalue())
        found = answer["results"][0]["detections"]
        boxes = [(self._ids[one["class_name"]], _inside(one["box"], image.size)) for one in found]
        return [cvataa.rectangle(index, box) for index, box in boxes if box[2] > box[0] and box[3] > box[1]]

    def _call(self, path: str, image: bytes | None = None) -> dict[str, Any]:
        request = Request(f"{self._url}{path}", data=image, headers={"Content-Type": "image/png"})  # noqa: S310 (the user's service)
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 (the user's service)
                document: dict[str, Any] = json.load(answer)
        except HTTPError as error:
            detail = error.read(2000).decode(errors="replace")
            raise ConnectionError(f"{self._url}{path} answered {error.code}: {detail}") from error
        except URLError as error:
            raise ConnectionError(f"expected Yoloscope at {self._url}, got: {error.reason}") from error
        return document


def _inside(box: Mapping[str, float], size: tuple[int, int]) -> list[float]:
    """Return the corners of a box, cut off at the edges of the frame."""
    width, height = size
    x1, x2 = (min(max(float(box[key]), 0.0), float(width)) for key in ("x1", "x2"))
    y1, y2 = (min(max(float(box[key]), 0.0), float(height)) for key in ("y1", "y2"))
    return [x1, y1, x2, y2]


create = YoloscopeFunction
"""The name by which CVAT's command makes the function from its ``-p`` parameters."""
