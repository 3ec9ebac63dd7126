"""What `coagent doctor` looks at: a file for each thing, whose functions return findings and never raise."""
