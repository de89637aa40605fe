"""From the backward passes of one update to sums over its replicas."""
