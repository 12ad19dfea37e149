"""How much of the past a step of a recurrent network feels: gradients by lag."""
