"""Services as DNS records, with the server that answers them."""
