package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cbr-replicator/internal/sandbox"
)

// start starts the function's real binary with the user's variables, and returns what
// it says about them: problems, each a line, and warnings. Nothing is published: a
// topic of this machine stands for one that is not set.
func start(ctx context.Context, binary string, env map[string]string) (problems, warnings []string, err error) {
	if binary == "" {
		if binary, err = sandbox.BuildFunction(ctx); err != nil {
			return nil, nil, err
		}
		defer os.RemoveAll(filepath.Dir(binary))
	}
	topic, err := sandbox.NewTopic("results", nil)
	if err != nil {
		return nil, nil, err
	}
	defer topic.Close()
	env = maps.Clone(env)
	env["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
	if env["RESULT_TOPIC_ARN"] == "" && env["RESULT_TOPIC_URN"] == "" {
		env["RESULT_TOPIC_ARN"], env["AWS_ENDPOINT_URL_SNS"] = topic.ARN(), topic.URL()
	}
	log := &startLog{}
	function := sandbox.NewFunction(sandbox.FunctionConfig{Path: binary, Env: env, Logs: log})
	// What keeps a function warm is acknowledged, and calls nothing.
	response, err := function.Invoke(ctx, []byte(`{"source":"serverless-plugin-warmup"}`), time.Minute)
	function.Close() // all that it printed has been written
	switch {
	case err != nil:
		return nil, nil, err
	case response.Error != nil && len(log.problems) == 0:
		return nil, nil, fmt.Errorf("the function did not start: %w", response.Error)
	}
	return log.problems, log.warnings, nil
}

// startLog takes what a starting function prints.
type startLog struct{ problems, warnings []string }

// Write takes a line. aws-lambda-go's own lines are no JSON.
func (l *startLog) Write(line []byte) (int, error) {
	var entry struct{ Level, Error, Message, Variables string }
	_ = json.Unmarshal(line, &entry)
	switch entry.Level {
	case "ERROR":
		l.problems = append(l.problems, strings.Split(entry.Error, "\n")...)
	case "WARN":
		l.warnings = append(l.warnings, strings.TrimSpace(entry.Message+" "+entry.Error+entry.Variables))
	}
	return len(line), nil
}
