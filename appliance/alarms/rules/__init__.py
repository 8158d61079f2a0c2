"""What of all that is known is wrong: each rule takes records and gives conditions. Pure."""
