"""Any network, optimiser and arrays as an Experiment."""
