"""The support bundle: what somebody far away needs to help, and nothing that is nobody's business."""
