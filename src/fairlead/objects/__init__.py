"""What a Service, an EndpointSlice, a Pod is: types, defaults, validation, selectors. No I/O."""
