// A server of Google Cloud Pub/Sub for tests: Google's own fake, pstest, behind what it lacks. The calls for topics and
// subscriptions are also answered over HTTP and JSON, as the official Rust client makes them; and faults happen to order.
//
// It prints "ready" when it answers. Its data is in memory, and gone with the process.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
)

// The greatest message of the service is 10 MB; a request with it has more.
const maxRequest = 32 << 20

func main() {
	calls := flag.String("calls", "127.0.0.1:0", "where gRPC is served")
	admin := flag.String("admin", "127.0.0.1:0", "where HTTP is served")
	flag.Parse()

	// The fake has an address of its own, which nobody uses: its service is called in this process.
	fake := pstest.NewServerWithAddress("127.0.0.1:0")
	faults := &faults{}
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxSendMsgSize(maxRequest),
		grpc.UnaryInterceptor(faults.call),
		grpc.StreamInterceptor(faults.stream),
	)
	pb.RegisterPublisherServer(server, &fake.GServer)
	pb.RegisterSubscriberServer(server, &fake.GServer)
	listener, err := net.Listen("tcp", *calls)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(server.Serve(listener)) }()

	web, err := net.Listen("tcp", *admin)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	log.Fatal(http.Serve(web, routes(&fake.GServer, faults)))
}
