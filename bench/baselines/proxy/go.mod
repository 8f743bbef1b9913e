module tidegate/bench/proxy

go 1.21
