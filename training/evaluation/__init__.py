"""Evaluation of a detector on labeled images: COCO and VOC AP, curves, confusion matrix, TIDE errors, speed."""
