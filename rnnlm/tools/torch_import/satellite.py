"""What files of PyTorch add to rnnlm."""

from rnnlm.satellites import Satellite, all_on_use

SATELLITE = Satellite("tools/torch_import", imports=all_on_use(__package__, "import_command:TORCH"))
