"""`rnnlm inspect spectrum`: eigenvalues, singular values and powers of recurrent weights."""

from pathlib import Path

import click

from ..inspecting import show
from ..options import device_option, json_option, models_or_demo, models_or_demo_option
from ..plots import check_plot, plot_option


@click.command()
@models_or_demo_option
@click.option("--untrained", is_flag=True, help="Beside each model, the same network before training.")
@plot_option
@json_option
@device_option
def show_spectrum(model_names: tuple[str, ...], untrained: bool, plot: Path | None, overwrite: bool, as_json: bool, device: str) -> None:
    """Eigenvalues and singular values of recurrent weights.

    \b
    rnnlm inspect spectrum
    rnnlm inspect spectrum -m gru -m lstm --plot spectrum.svg
    rnnlm inspect spectrum --untrained

    Each gate of each layer has a matrix of its own. The plot shows the eigenvalues in the complex plane, with the unit circle.
    """
    from rnnlm.inspection.weights.spectrum import inspect_spectrum

    check_plot(plot, overwrite)
    show(inspect_spectrum(models_or_demo(model_names), untrained=untrained, device=device), as_json, plot)
