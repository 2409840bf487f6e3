// Command backend edits a video through Seamline's editor.
//
//	backend -edit smile=2 [-edit age=-3] [-sha256 DIGEST] [-bundle NAME] [-deliver-to ADDRESS] VIDEO
//
// VIDEO is an https address, for instance a presigned one, of an origin that the editor allows, or an object of its
// store with its digest. Exit status: 0 done, 1 failed, try again later; 2 rejected; 130 interrupted.
package main

//go:generate buf generate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"seamline.dev/examples/backend/seamlinev1"
)

const (
	failed      = 1
	rejected    = 2
	interrupted = 130
)

// edits are the flags -edit NAME=STRENGTH.
type edits []*seamlinev1.Edit

func (*edits) String() string { return "" }

func (list *edits) Set(text string) error {
	parts := strings.SplitN(text, "=", 2)
	if len(parts) != 2 {
		return errors.New("give it as NAME=STRENGTH")
	}
	strength, err := strconv.ParseFloat(parts[1], 64)
	if err != nil {
		return err
	}
	*list = append(*list, &seamlinev1.Edit{Name: parts[0], Strength: strength})
	return nil
}

func requestFromFlags() *seamlinev1.EditVideoRequest {
	var list edits
	flag.Var(&list, "edit", "NAME=STRENGTH; any number")
	sha256 := flag.String("sha256", "", "digest of the video")
	bundle := flag.String("bundle", "", "bundle, if not the default")
	deliverTo := flag.String("deliver-to", "", "https address to which the edited video is sent")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "give the address of one video")
		os.Exit(rejected)
	}
	return &seamlinev1.EditVideoRequest{
		Video:     &seamlinev1.ArtifactRef{Uri: flag.Arg(0), Sha256: *sha256},
		Bundle:    *bundle,
		Edits:     list,
		DeliverTo: *deliverTo,
	}
}

func show(progress *seamlinev1.Progress) {
	line := fmt.Sprintf("%s %s %d/%d", progress.Stage, progress.Step, progress.Done, progress.Total)
	for name, value := range progress.Figures {
		line += fmt.Sprintf(" %s %.3f", name, value)
	}
	fmt.Fprintln(os.Stderr, line)
}

// identity is a random name for a job.
func identity() string {
	name := make([]byte, 16)
	if _, err := rand.Read(name); err != nil {
		panic(err)
	}
	return hex.EncodeToString(name)
}

func run() int {
	request := requestFromFlags()
	connection, err := Connect(SettingsFromEnvironment())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return rejected
	}
	defer connection.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	job := Job{Request: request, RequestID: identity(), OnProgress: show, Repeats: 4, Patience: 10 * time.Minute}
	result, err := job.Run(ctx, seamlinev1.NewEditorServiceClient(connection))
	var fault *Fault
	switch {
	case err == nil:
		write(os.Stdout, map[string]interface{}{
			"edited":  map[string]string{"uri": result.Edited.Uri, "sha256": result.Edited.Sha256},
			"tlId":    result.Scores.GetTlId(),
			"seconds": result.StageSeconds,
		})
		return 0
	case !errors.As(err, &fault):
		fmt.Fprintln(os.Stderr, "interrupted; the services have stopped, and what is finished is kept")
		return interrupted
	}
	write(os.Stderr, map[string]string{
		"reason": fault.Reason, "field": fault.Field, "message": fault.Message, "requestId": job.RequestID,
	})
	if fault.Rejected() {
		return rejected
	}
	return failed
}

// write puts out one line of JSON.
func write(file *os.File, what interface{}) {
	encoder := json.NewEncoder(file)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(what); err != nil {
		panic(err)
	}
}

func main() { os.Exit(run()) }
