"""StatefulSets: pods with names, places in a row, and claims of their own."""
