// A room of WebSockets, as a Go server has it with gorilla/websocket: what one client sends goes to all. Each connection
// has a goroutine that reads and one that writes, and the hub hands each message to the latter by a channel.
//
// Of the ways to write it this is the one that takes least: a message is framed once (PreparedMessage), and write
// buffers, which prepared messages do not need, are in a pool.
package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	writeWait  = 10 * time.Second
	pongWait   = 60 * time.Second
	pingPeriod = pongWait * 9 / 10
	maxMessage = 1 << 20
	// A client this far behind is dropped, as hubs do.
	mostWaiting = 256
)

var upgrader = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{}}

type client struct {
	conn     *websocket.Conn
	messages chan *websocket.PreparedMessage
}

type hub struct {
	clients   map[*client]struct{}
	broadcast chan []byte
	join      chan *client
	leave     chan *client
}

func (h *hub) run() {
	for {
		select {
		case c := <-h.join:
			h.clients[c] = struct{}{}
		case c := <-h.leave:
			h.drop(c)
		case message := <-h.broadcast:
			h.send(message)
		}
	}
}

func (h *hub) send(message []byte) {
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, message)
	if err != nil {
		return
	}
	for c := range h.clients {
		select {
		case c.messages <- prepared:
		default:
			h.drop(c)
		}
	}
}

func (h *hub) drop(c *client) {
	if _, there := h.clients[c]; there {
		delete(h.clients, c)
		close(c.messages)
	}
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &client{conn, make(chan *websocket.PreparedMessage, mostWaiting)}
	h.join <- c
	go c.write()
	go c.read(h)
}

func (c *client) read(h *hub) {
	defer func() {
		h.leave <- c
		c.conn.Close()
	}()
	c.conn.SetReadLimit(maxMessage)
	c.conn.SetReadDeadline(time.Now().Add(pongWait))
	c.conn.SetPongHandler(func(string) error {
		return c.conn.SetReadDeadline(time.Now().Add(pongWait))
	})
	for {
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		h.broadcast <- message
	}
}

func (c *client) write() {
	ticker := time.NewTicker(pingPeriod)
	defer func() {
		ticker.Stop()
		c.conn.Close()
	}()
	for {
		select {
		case message, more := <-c.messages:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if !more {
				c.conn.WriteMessage(websocket.CloseMessage, nil)
				return
			}
			if c.conn.WritePreparedMessage(message) != nil {
				return
			}
		case <-ticker.C:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if c.conn.WriteMessage(websocket.PingMessage, nil) != nil {
				return
			}
		}
	}
}

func main() {
	h := &hub{
		clients:   map[*client]struct{}{},
		broadcast: make(chan []byte),
		join:      make(chan *client),
		leave:     make(chan *client),
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	go h.run()
	panic(http.Serve(listener, h))
}
