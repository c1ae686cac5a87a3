"""The process of a pod that outlives the agent: PID 1 of the pod, and the parent of its containers."""
