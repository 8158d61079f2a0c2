"""What came over the wire: capture files, frames, SIP, SDP, RTP, dialogs, and the journal that keeps them."""
