package node

import (
	"io"
	"net"
)

// relay takes connections from a listener that was opened on the host and dials
// inside the lab: a socket belongs to the network namespace it was made in, and
// keeps belonging to it.
func relay(listener net.Listener, target string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go forward(client, target)
	}
}

func forward(client net.Conn, target string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return // the client sees its connection close, and tries again
	}
	defer func() { _ = server.Close() }()
	done := make(chan struct{}, 2)
	copyHalf := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		// Pass the end of one direction on; the other may go on.
		if half, ok := to.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		done <- struct{}{}
	}
	go copyHalf(server, client)
	go copyHalf(client, server)
	<-done
	<-done
}
