"""A training run as one page: what its log and its model tell, in tables and plots."""
