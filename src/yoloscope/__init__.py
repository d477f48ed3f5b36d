"""Train, serve and explain YOLO detectors (v1 to v4)."""
