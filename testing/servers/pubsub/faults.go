package main

import (
	"context"
	"encoding/json"
	"net/http"
	"path"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A fault that happens to the next calls of a method.
type fault struct {
	// The method, such as "Publish" or "StreamingPull".
	Method string `json:"method"`
	// How many calls it happens to.
	Count int `json:"count"`
	// The code of the error, by its number in gRPC. 0: no error.
	Code codes.Code `json:"code"`
	// Whether the call takes effect before its answer is lost.
	Done bool `json:"done"`
	// How long the call waits first.
	DelayMillis int `json:"delay_ms"`
	// Only calls that publish to this ordering key.
	Key string `json:"key"`
}

// The faults to come, and how often each method was called.
type faults struct {
	mutex sync.Mutex
	next  []fault
	calls map[string]int
}

// Takes the next fault for a call.
func (f *faults) take(method string, request any) *fault {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[method]++
	for i := range f.next {
		next := &f.next[i]
		if next.Method != method || next.Count == 0 || !next.concerns(request) {
			continue
		}
		next.Count--
		taken := *next
		return &taken
	}
	return nil
}

func (f *fault) concerns(request any) bool {
	if f.Key == "" {
		return true
	}
	publish, ok := request.(interface{ GetMessages() []*message })
	if !ok {
		return false
	}
	for _, message := range publish.GetMessages() {
		if message.GetOrderingKey() == f.Key {
			return true
		}
	}
	return false
}

func (f *fault) fail() error {
	return status.Error(f.Code, "a fault of the test")
}

func (f *faults) call(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	method := path.Base(info.FullMethod)
	if method == "Seek" {
		return nil, status.Error(codes.Unimplemented, "the fake can't seek")
	}
	fault := f.take(method, request)
	if fault == nil {
		return handle(ctx, request)
	}
	select {
	case <-time.After(time.Duration(fault.DelayMillis) * time.Millisecond):
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if fault.Code == codes.OK {
		return handle(ctx, request)
	}
	if fault.Done {
		if _, err := handle(ctx, request); err != nil {
			return nil, err
		}
	}
	return nil, fault.fail()
}

func (f *faults) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	fault := f.take(path.Base(info.FullMethod), nil)
	if fault == nil {
		return handle(server, stream)
	}
	time.Sleep(time.Duration(fault.DelayMillis) * time.Millisecond)
	if fault.Code == codes.OK {
		return handle(server, stream)
	}
	return fault.fail()
}

// Answers GET /calls, and POST and DELETE /faults.
func (f *faults) serve(answer http.ResponseWriter, request *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	switch {
	case request.Method == http.MethodGet:
		json.NewEncoder(answer).Encode(f.calls)
	case request.Method == http.MethodDelete:
		f.next = nil
	default:
		var next fault
		if err := json.NewDecoder(request.Body).Decode(&next); err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		f.next = append(f.next, next)
	}
}
