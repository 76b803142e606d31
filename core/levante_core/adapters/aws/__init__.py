"""Everything else on AWS: the composition, Lambda, S3 and STS."""
