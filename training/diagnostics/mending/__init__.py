"""Apply accepted findings of an audit: a corrected copy of a data set in its own format."""

from yoloscope.training.diagnostics.mending.corrected_copy import CopyMode
from yoloscope.training.diagnostics.mending.mend import Mended, NewClasses, mend

__all__ = ["CopyMode", "Mended", "NewClasses", "mend"]
