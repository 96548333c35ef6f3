"""What can answer: specs, the catalogue, prices and the embedded Abacus models. Nothing about requests in flight."""
