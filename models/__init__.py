"""What can answer: model specs, the catalogue, prices and the embedded Abacus models. No requests, no I/O to engines."""
