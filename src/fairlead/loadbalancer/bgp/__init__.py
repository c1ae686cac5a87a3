"""Addresses announced by BGP, by every node that may carry their traffic: BIRD speaks, we tell it what."""
