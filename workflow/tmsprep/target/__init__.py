"""From a circuit and denoised series to a target in the left DLPFC. `stage` is the way in."""
