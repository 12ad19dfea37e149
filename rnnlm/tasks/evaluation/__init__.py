"""What labels are worth: figures on data, differences of models, soundness."""
