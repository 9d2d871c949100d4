"""Shipping: what is checked before a release, and the release itself.

fly_files        reads the fly configurations, and says everything that is wrong with them
fly_files_keys   every key that fly knows, and what it may hold
fly_files_rules  what we ask of them besides: drain, lease, secrets, ports
"""
