"""HTML pages made from finished runs: the report of one, the comparison of several."""
