"""`rnnlm inspect WHAT`: one file each."""
