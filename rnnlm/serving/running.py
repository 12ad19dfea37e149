"""The server process: models are loaded, then requests answered until a signal ends it."""

from collections.abc import Sequence

import uvicorn

from rnnlm.serving.app import make_app
from rnnlm.serving.served import ServedModels
from rnnlm.serving.settings import ServingSettings


def serve(names: Sequence[str], settings: ServingSettings, device: str = "auto") -> None:
    """Serve the models of these names until a signal ends it."""
    models = ServedModels.load(names, device)
    app = make_app(models, settings)
    uvicorn.run(app, host=settings.host, port=settings.port, access_log=False)
