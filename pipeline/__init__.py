"""The work, one folder a noun.

A stage turns records into records; who runs it, where and how often is not its business.
"""
