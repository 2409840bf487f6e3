package main

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Fault is what the services say when a call fails, read from the status that gRPC brings.
type Fault struct {
	Code    codes.Code
	Message string
	// Reason is what it is, for programs: "UNKNOWN_EDIT", "NO_FACE", …; empty where no service of Seamline answered.
	Reason string
	// Field is that of the request at fault, for instance "video.uri"; empty if none is.
	Field string
	// Metadata has key, frame, endpoint and the like.
	Metadata map[string]string
	// RetryAfter is when the service invites to try again; nil where it does not.
	RetryAfter *time.Duration
}

func (fault *Fault) Error() string { return fault.Message }

// Rejected says whether the input is at fault, so that repeating the call will not help.
func (fault *Fault) Rejected() bool {
	switch fault.Code {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.DataLoss,
		codes.PermissionDenied, codes.Unauthenticated:
		return true
	}
	return false
}

// Broken says whether a replica, a connection or the store was lost on the way: the same call goes on from what is
// finished.
func (fault *Fault) Broken() bool {
	return fault.Code == codes.Unavailable || (fault.Code == codes.Canceled && fault.Reason == "")
}

func faultOf(err error) *Fault {
	said := status.Convert(err)
	fault := &Fault{Code: said.Code(), Message: said.Message()}
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fault.Reason, fault.Metadata = detail.Reason, detail.Metadata
		case *errdetails.BadRequest:
			if violations := detail.FieldViolations; len(violations) > 0 {
				fault.Field = violations[0].Field
			}
		case *errdetails.RetryInfo:
			delay := detail.RetryDelay.AsDuration()
			fault.RetryAfter = &delay
		}
	}
	return fault
}
