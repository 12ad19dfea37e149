"""What other satellites share adds nothing by itself."""

from rnnlm.satellites import Satellite

SATELLITE = Satellite("tasks/common")
