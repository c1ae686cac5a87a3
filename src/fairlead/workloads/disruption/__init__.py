"""PodDisruptionBudgets: how many pods of a kind may be evicted now."""
