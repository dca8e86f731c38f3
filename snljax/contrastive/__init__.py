"""Any encoder, views and arrays as an Experiment of contrastive learning."""
