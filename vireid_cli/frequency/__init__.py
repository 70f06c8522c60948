"""Tools on spectra: orthonormal transforms, amplitude and phase, images rebuilt from them."""
