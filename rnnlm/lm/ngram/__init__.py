"""Count-based models. numpy only: torch is never imported here."""
