"""The fold from journal blocks to recordings and call records."""
