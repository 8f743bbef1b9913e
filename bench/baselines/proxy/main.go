// An event stream relayed as Go does it: httputil.ReverseProxy, every read flushed at once, nothing kept.
//
//	proxy UPSTREAM_URL
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	upstream, err := url.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	proxy.FlushInterval = -1
	// The default keeps two connections to a host, and would dial anew for all others.
	proxy.Transport = &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 10000, DisableCompression: true}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	panic(http.Serve(listener, proxy))
}
