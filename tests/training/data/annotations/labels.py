"""Small label files that several tests read."""

from yoloscope.models.classes import ClassIndex
from yoloscope.training.data.annotations import ImageLabels, LabelContext, LabelFormat, LabelObject
from yoloscope.training.data.annotations.shapes import BoxXyxy

NAMES = ("cat", "dog", "traffic light")
CONTEXT = LabelContext(ClassIndex(NAMES), 200, 100, "a.jpg")

VOC = """<annotation><filename>a.jpg</filename><size><width>200</width><height>100</height><depth>3</depth></size>
<object><name>dog</name><difficult>1</difficult>
  <bndbox><xmin>20</xmin><ymin>10</ymin><xmax>60.5</xmax><ymax>30</ymax></bndbox></object>
<object><name>cat</name>
  <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>200</xmax><ymax>100</ymax></bndbox></object></annotation>"""


def image_labels(*boxes: BoxXyxy, class_id: int = 0, label_format: LabelFormat = "yolo") -> ImageLabels:
    """Return labels of one class for an image of 200x100."""
    name = NAMES[class_id] if class_id >= 0 else "unicorn"
    objects = tuple(LabelObject(class_id, name, box, f"/lines/{i}") for i, box in enumerate(boxes))
    return ImageLabels(objects, 200, 100, label_format)
