"""Read-only shares of the finished recordings: configuration for Samba and for the kernel's NFS server."""
