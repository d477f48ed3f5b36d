"""How good a detector is on labelled images: COCO's numbers, VOC's AP, curves, confusions, kinds of error, speed."""
