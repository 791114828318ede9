package redrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/smn"
	"cbr-replicator/internal/token"
)

// sentEnding is put behind the name of a record's file once the topic has it.
const sentEnding = ".sent"

// records sends the records of FunctionGraph's destination for failures, each a file
// of a folder, to the topic of requests, as they are: the function takes the request
// out of a record, and looks up what became of it before it sends it again. A file
// that was sent is renamed, so that a run that ended early can be started once more.
func records(ctx context.Context, folder, topic string, dryRun bool, getenv func(string) string, out io.Writer) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return fmt.Errorf("-records: %w", err)
	}
	if len(files) == 0 {
		return fmt.Errorf("-records: no file NAME.json in %s", folder)
	}
	publish := func(string) error { return nil }
	if !dryRun {
		if publish, err = publisher(ctx, topic, getenv); err != nil {
			return err
		}
	}
	left := 0
	for _, file := range files {
		name := filepath.Base(file)
		text, err := readRecord(file)
		if err == nil {
			err = publish(text)
		}
		switch {
		case err != nil:
			left++
			fmt.Fprintf(out, "%s stays: %v\n", name, err)
		case dryRun:
			left++
			fmt.Fprintf(out, "%s would be sent\n", name)
		default:
			fmt.Fprintf(out, "%s is sent\n", name)
			if err := os.Rename(file, file+sentEnding); err != nil {
				return err
			}
		}
	}
	if left > 0 {
		return fmt.Errorf("%d of %d records are left", left, len(files))
	}
	return nil
}

// readRecord reads a file, and says what is wrong if it is no record.
func readRecord(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var record struct {
		Payload *string `json:"request_payload"`
	}
	switch err := json.Unmarshal(text, &record); {
	case err != nil:
		return "", errors.New("it is no JSON object")
	case record.Payload == nil:
		return "", errors.New("it is no record: it has no request_payload that is a string")
	case len(text) > smn.MaxMessage:
		return "", fmt.Errorf("a topic takes %d bytes, and it has %d", smn.MaxMessage, len(text))
	}
	return string(text), nil
}

// publisher returns what publishes to a topic of SMN, with the credential of HW_*
// variables, as the function reads them.
func publisher(ctx context.Context, topic string, getenv func(string) string) (func(text string) error, error) {
	urn, ok := smn.ParseURN(topic)
	if !ok {
		return nil, fmt.Errorf("-topic: expected %s", smn.Form)
	}
	if getenv("HW_SMN_ENDPOINT") == "" && getenv("HW_CLOUD") == "" && huawei.IsForeign(getenv("HW_CBR_ENDPOINT")) {
		// A credential must not go to Huawei because nobody said where else.
		return nil, errors.New("HW_SMN_ENDPOINT: required with -topic, or HW_CLOUD, since HW_CBR_ENDPOINT is not Huawei's own")
	}
	endpoints, err := huawei.NewEndpoints(smn.Service, getenv("HW_SMN_ENDPOINT"), getenv("HW_CLOUD"), urn.Scope.Region)
	if err != nil {
		return nil, fmt.Errorf("HW_SMN_ENDPOINT or HW_CLOUD: %w", err)
	}
	fields := token.Fields{Token: getenv("HW_AUTH_TOKEN"), AccessKey: getenv("HW_ACCESS_KEY"), SecretKey: getenv("HW_SECRET_KEY"), SecurityToken: getenv("HW_SECURITY_TOKEN")}
	for _, problem := range fields.Check() {
		return nil, fmt.Errorf("%s: %s", problem.Name, problem.Text)
	}
	hidden := &redact.Redactor{}
	fields.Hide(hidden)
	client := smn.NewClient(huawei.Service{
		HTTP: huawei.NewHTTPClient(1), Endpoints: endpoints, Redact: hidden, UserAgent: "cbr-replicator-redrive", Timeout: 30 * time.Second,
		Auth: token.New(token.Config{Fields: fields, ProjectID: urn.Scope.ProjectID, Redact: hidden, Log: slog.New(slog.DiscardHandler), Now: time.Now}),
	})
	return func(text string) error {
		if err := kind.As(client.Publish(ctx, urn, smn.Message{Text: text})); err != nil {
			return err
		}
		return nil
	}, nil
}
