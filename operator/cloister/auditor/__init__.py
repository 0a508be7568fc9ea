"""The sidecar between gate and workload: it validates, records, forwards, and lets a reply go once it is recorded."""
