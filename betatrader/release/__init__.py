"""Putting a version on fly.io and taking it back: three apps, one image, a gate after each.

apps           the apps, their order, image references
prices         what fly asks, with the date of the table
cost           the monthly bill of a plan, and of three sizes
"""
