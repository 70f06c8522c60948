"""A tree in SYSU-MM01's layout beside the figures that are known of reality: the calibration table."""

from vireid_cli.bench.calibration.table import CalibrationRow, calibrate

__all__ = ["CalibrationRow", "calibrate"]
