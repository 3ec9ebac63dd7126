"""Gold patches of real pull requests, two at a time in one tree: CoAgent's mechanics beside git's own merge.

The data is the public CooperBench set, downloaded by its users; nothing of it is in this project.
Source: "CooperBench: Why Coding Agents Cannot be Your Teammates Yet" (arXiv 2601.13295).
"""
