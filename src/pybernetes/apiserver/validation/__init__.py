"""What several resources share: defaulting and validation of nouns such as the Pod spec."""
