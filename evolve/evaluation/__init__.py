"""Evaluators: how accurate is a subnet?"""
