"""The benchmarks: `./run bench [NAME]`. One module a name, each with `measure(quick) -> list[Measure]`."""
