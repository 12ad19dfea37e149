"""What ONNX adds to rnnlm."""

from rnnlm.satellites import Satellite, all_on_use

SATELLITE = Satellite("tools/onnx_export", exports=all_on_use(__package__, "export_command:ONNX"))
