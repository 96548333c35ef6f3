"""What guards the gateway where no proxy stands in front of it: connections, headers, slow readers, an orderly end."""
