"""Thousands of edits, a tenth of the requests abusive: does the service stay what it was?"""
