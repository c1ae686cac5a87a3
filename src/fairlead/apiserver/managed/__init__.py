"""Who manages which fields of an object (`metadata.managedFields`), and server-side apply, which goes by it.

Pure functions over plain JSON values. A `Shape` says how the values at a place merge; it is made of the one table of
types, of a definition's schema, or deduced where nothing is known. A set of fields is FieldsV1 itself, as nested maps.

Upstream: apimachinery/pkg/util/managedfields, sigs.k8s.io/structured-merge-diff.
"""
