"""What a person may do to a live domain: take back, end, bring back, decide; and what would change."""
