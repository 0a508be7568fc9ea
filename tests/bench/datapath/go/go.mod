module cloister.dev/tests/bench/datapath

go 1.26.0
