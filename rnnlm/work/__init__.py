"""Work in other processes, on this machine or on others: executors, and the tasks of a phase."""
