package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type message = pb.PubsubMessage

// The paths of the REST API of Pub/Sub that manage topics and subscriptions, and those of the faults.
func routes(fake *pstest.GServer, faults *faults) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/faults", faults.serve)
	mux.HandleFunc("GET /calls", faults.serve)
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})

	topics, subscriptions := "/v1/projects/{project}/topics", "/v1/projects/{project}/subscriptions"
	handle(mux, "PUT "+topics+"/{name}", fake.CreateTopic, func(topic *pb.Topic, name string) { topic.Name = name })
	handle(mux, "GET "+topics+"/{name}", fake.GetTopic, func(get *pb.GetTopicRequest, name string) { get.Topic = name })
	handle(mux, "PATCH "+topics+"/{name}", fake.UpdateTopic, func(update *pb.UpdateTopicRequest, name string) {
		update.Topic.Name = name
	})
	handle(mux, "DELETE "+topics+"/{name}", fake.DeleteTopic, func(delete *pb.DeleteTopicRequest, name string) {
		delete.Topic = name
	})
	handle(mux, "GET "+topics, fake.ListTopics, func(list *pb.ListTopicsRequest, name string) { list.Project = name })
	handle(mux, "GET "+topics+"/{name}/subscriptions", fake.ListTopicSubscriptions,
		func(list *pb.ListTopicSubscriptionsRequest, name string) { list.Topic = name })

	handle(mux, "PUT "+subscriptions+"/{name}", fake.CreateSubscription,
		func(subscription *pb.Subscription, name string) { subscription.Name = name })
	handle(mux, "GET "+subscriptions+"/{name}", fake.GetSubscription,
		func(get *pb.GetSubscriptionRequest, name string) { get.Subscription = name })
	handle(mux, "PATCH "+subscriptions+"/{name}", fake.UpdateSubscription,
		func(update *pb.UpdateSubscriptionRequest, name string) { update.Subscription.Name = name })
	handle(mux, "DELETE "+subscriptions+"/{name}", fake.DeleteSubscription,
		func(delete *pb.DeleteSubscriptionRequest, name string) { delete.Subscription = name })
	handle(mux, "GET "+subscriptions, fake.ListSubscriptions,
		func(list *pb.ListSubscriptionsRequest, name string) { list.Project = name })
	return mux
}

// A pointer to a message: protojson makes Go's types from JSON.
type pointer[T any] interface {
	*T
	proto.Message
}

// Answers requests of this pattern by a call: the body is the call's request, the path names what it is about.
func handle[T any, R pointer[T], A proto.Message](
	mux *http.ServeMux, pattern string, call func(context.Context, R) (A, error), about func(R, string),
) {
	mux.HandleFunc(pattern, func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(io.LimitReader(request.Body, 1<<20))
		made := R(new(T))
		if err == nil && len(body) > 0 {
			err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, made)
		}
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		about(made, nameOf(request))
		answered, err := call(request.Context(), made)
		if err != nil {
			refuse(answer, status.Convert(err))
			return
		}
		text, err := protojson.Marshal(answered)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
			return
		}
		answer.Header().Set("Content-Type", "application/json")
		answer.Write(text)
	})
}

// The resource that the path names: a topic, a subscription, or the project of a list.
func nameOf(request *http.Request) string {
	parts := strings.Split(strings.TrimPrefix(request.URL.Path, "/v1/"), "/")
	if request.PathValue("name") != "" {
		return strings.Join(parts[:4], "/")
	}
	return strings.Join(parts[:2], "/")
}

// Answers with an error in the form of Google's APIs.
func refuse(answer http.ResponseWriter, refused *status.Status) {
	httpCodes := map[code.Code]int{
		code.Code_INVALID_ARGUMENT: 400, code.Code_FAILED_PRECONDITION: 400, code.Code_NOT_FOUND: 404,
		code.Code_ALREADY_EXISTS: 409, code.Code_UNAVAILABLE: 503, code.Code_UNIMPLEMENTED: 501,
	}
	name := code.Code(refused.Code())
	number, known := httpCodes[name]
	if !known {
		number = http.StatusInternalServerError
	}
	answer.Header().Set("Content-Type", "application/json")
	answer.WriteHeader(number)
	json.NewEncoder(answer).Encode(map[string]any{
		"error": map[string]any{"code": number, "message": refused.Message(), "status": name.String()},
	})
}
