"""Where the files of each kind of data set lie, and what its classes are."""
