// The handler that tutorials show: each connection makes its own events, writes and flushes them.
//
//	handler RATE SIZE
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	rate, _ := strconv.ParseFloat(os.Args[1], 64)
	size, _ := strconv.Atoi(os.Args[2])
	padding := strings.Repeat("x", size)
	interval := time.Duration(float64(time.Second) / rate)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	panic(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		flusher := w.(http.Flusher)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-cache")
		flusher.Flush()
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for count := 1; ; count++ {
			select {
			case <-ticker.C:
				if _, err := fmt.Fprintf(w, "id: aaaa-%d\nevent: delta\ndata: {\"text\":\"@%d;%s\"}\n\n", count, time.Now().UnixNano(), padding); err != nil {
					return
				}
				flusher.Flush()
			case <-r.Context().Done():
				return
			}
		}
	})))
}
