"""TMSPrep: from a BIDS dataset to an individual TMS target with its provenance.

Research software, not a medical device: a clinician decides.
"""

__version__ = "0.1.0"

DISCLAIMER = "Research software, not a medical device: a clinician decides."
