"""Comparison of a tree in SYSU-MM01's layout with values of real images: the calibration table."""

from vireid_cli.bench.calibration.table import CalibrationRow, calibrate

__all__ = ["CalibrationRow", "calibrate"]
