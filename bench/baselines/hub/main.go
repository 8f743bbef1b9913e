// One stream to many readers, as a Go server does it: each event is encoded once and handed to one goroutine per
// connection, which writes and flushes it.
//
//	hub RATE SIZE
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

type hub struct {
	mutex   sync.Mutex
	readers map[chan []byte]struct{}
}

func (h *hub) join() chan []byte {
	// A reader this far behind is dropped, as hubs do.
	events := make(chan []byte, 256)
	h.mutex.Lock()
	h.readers[events] = struct{}{}
	h.mutex.Unlock()
	return events
}

func (h *hub) leave(events chan []byte) {
	h.mutex.Lock()
	delete(h.readers, events)
	h.mutex.Unlock()
}

func (h *hub) send(event []byte) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for events := range h.readers {
		select {
		case events <- event:
		default:
			delete(h.readers, events)
			close(events)
		}
	}
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	events := h.join()
	defer h.leave(events)
	flusher := w.(http.Flusher)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	flusher.Flush()
	for {
		select {
		case event, more := <-events:
			if !more {
				return
			}
			if _, err := w.Write(event); err != nil {
				return
			}
			flusher.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func main() {
	rate, _ := strconv.ParseFloat(os.Args[1], 64)
	size, _ := strconv.Atoi(os.Args[2])
	padding := strings.Repeat("x", size)
	h := &hub{readers: map[chan []byte]struct{}{}}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	go func() {
		count := 0
		for range time.Tick(time.Duration(float64(time.Second) / rate)) {
			count++
			h.send(fmt.Appendf(nil, "id: aaaa-%d\nevent: delta\ndata: {\"text\":\"@%d;%s\"}\n\n", count, time.Now().UnixNano(), padding))
		}
	}()
	panic(http.Serve(listener, h))
}
