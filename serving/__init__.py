"""How it is answered: the gateway, the engines, the hosted APIs. The only package that does I/O."""
