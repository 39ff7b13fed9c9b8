"""Multi-echo denoising (tedana), nuisance regression, smoothing and the one interpolation to the output grids."""
