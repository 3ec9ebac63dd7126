"""What has happened in a domain, step by step as data: for the page, the terminal and other programs."""
