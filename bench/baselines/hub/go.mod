module tidegate/bench/hub

go 1.21
