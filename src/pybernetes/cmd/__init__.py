"""Composition roots only: flags to config to run().

Every command's module is imported after this one: the collector's thresholds hold while all else is imported, which is a
tenth of a start.
"""

import gc

GC_THRESHOLDS = (10_000, 20, 20)
"""The standard 700 is less than the dicts of a few requests, which die without the collector."""

gc.set_threshold(*GC_THRESHOLDS)
