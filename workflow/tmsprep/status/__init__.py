"""How far a run is: for each participant done, running, failed and why, from the files of an output folder alone."""
