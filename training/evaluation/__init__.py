"""Evaluation of a detector on labelled images: COCO and VOC AP, curves, confusion matrix, TIDE errors, speed."""
