package main

import (
	"context"
	"errors"
	"io"
	"math/rand"
	"time"

	"google.golang.org/grpc/metadata"

	"seamline.dev/examples/backend/seamlinev1"
)

// Job is one edit.
type Job struct {
	Request *seamlinev1.EditVideoRequest
	// RequestID goes into every log line of the services that work on the job.
	RequestID  string
	OnProgress func(*seamlinev1.Progress)
	// Repeats is how often a call that broke is repeated.
	Repeats int
	// Patience is how long to wait, in all, for room while the service is full.
	Patience time.Duration
}

// Run edits a video. The call is the job: nothing else need be kept of it, and the same request made again, by
// whichever process, returns what is finished and goes on from there.
//
// Ending the context stops the work of all services within one optimiser step; its error is returned then. Any other
// error is a *Fault.
func (job Job) Run(ctx context.Context, client seamlinev1.EditorServiceClient) (*seamlinev1.EditVideoResult, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", job.RequestID)
	repeats, patience, backoff := job.Repeats, job.Patience, 500*time.Millisecond
	for {
		result, err := job.attempt(ctx, client)
		if err == nil {
			return result, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fault := faultOf(err)
		var wait time.Duration
		switch {
		case fault.Broken() && repeats > 0:
			wait = backoff
			repeats--
			backoff *= 2
		case fault.RetryAfter != nil && *fault.RetryAfter <= patience:
			wait = *fault.RetryAfter
			if wait < 100*time.Millisecond {
				wait = 100 * time.Millisecond // so that patience does end
			}
			patience -= wait
		default:
			return nil, fault
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func (job Job) attempt(
	ctx context.Context, client seamlinev1.EditorServiceClient,
) (*seamlinev1.EditVideoResult, error) {
	stream, err := client.EditVideo(ctx, job.Request)
	if err != nil {
		return nil, err
	}
	var result *seamlinev1.EditVideoResult
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) && result != nil {
			return result, nil
		}
		if err != nil {
			return nil, err
		}
		if progress := response.GetProgress(); progress != nil {
			job.OnProgress(progress)
		} else {
			result = response.GetResult()
		}
	}
}

// pause waits, or until the context ends. Callers that were turned away together do not come back together.
func pause(ctx context.Context, wait time.Duration) error {
	spread := time.Duration((0.5 + rand.Float64()) * float64(wait))
	select {
	case <-time.After(spread):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
