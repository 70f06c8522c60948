"""Orthonormal transforms, amplitude and phase of spectra, and images reconstructed from them."""
