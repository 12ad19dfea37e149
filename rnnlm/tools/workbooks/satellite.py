"""What workbooks of Excel add to rnnlm."""

from rnnlm.satellites import Satellite, named

SATELLITE = Satellite(
    "tools/workbooks", tables=named(__package__, {".xlsx": "reading:sheet_as_csv"})
)
