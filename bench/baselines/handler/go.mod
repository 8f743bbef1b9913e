module tidegate/bench/handler

go 1.21
