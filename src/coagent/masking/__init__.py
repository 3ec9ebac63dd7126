"""Masking: values that people are shown, without the secrets in them; what models see is not masked."""
