"""Who stands behind a Service: Endpoints and EndpointSlices that follow pods and their readiness."""
