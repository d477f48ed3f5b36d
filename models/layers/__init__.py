"""Layer modules that the native networks and the networks built from darknet cfgs share."""
