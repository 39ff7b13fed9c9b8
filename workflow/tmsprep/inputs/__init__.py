"""What a dataset holds: index, selection, the plan of who is processed and who is not and why, checks of the images."""
