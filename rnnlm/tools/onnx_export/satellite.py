"""What ONNX adds to rnnlm."""

from collections.abc import Sequence

from rnnlm.satellites import Export, Satellite


def _exports() -> Sequence[Export]:
    from rnnlm.tools.onnx_export.export_command import ONNX

    return (ONNX,)


SATELLITE = Satellite("tools/onnx_export", exports=_exports)
