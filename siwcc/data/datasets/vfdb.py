"""MIT-BIH Malignant Ventricular Ectopy Database: WFDB records with the paper's settings."""

from siwcc.data.datasets.wfdb import download, iter_recordings, iter_samples, published_sums, raw_files

__all__ = ["download", "iter_recordings", "iter_samples", "published_sums", "raw_files"]
