"""Networks of the papers, as pure functions of one network and one example."""
