"""How the files of a data set lie in folders, one module a layout."""
