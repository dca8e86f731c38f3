"""The sweep engine: a Grid goes in, a labelled Dataset comes out."""
