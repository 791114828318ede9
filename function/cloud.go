package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"cbr-replicator/internal/runtime"
)

// The variables by which each cloud tells where its runtime API is.
const (
	lambdaAPI        = "AWS_LAMBDA_RUNTIME_API"
	functionGraphAPI = "RUNTIME_API_ADDR"
)

func isFunctionGraph() bool { return os.Getenv(lambdaAPI) == "" && os.Getenv(functionGraphAPI) != "" }

// cloudOf returns the runtime of the cloud that this process is in. In
// FunctionGraph it first completes the environment.
func cloudOf() (runtime.Runtime, error) {
	switch {
	case os.Getenv(lambdaAPI) != "":
		return runtime.Lambda{}, nil
	case !isFunctionGraph():
		return nil, fmt.Errorf("neither %s nor %s is set: this program runs in AWS Lambda, or in Huawei Cloud's FunctionGraph with the runtime Custom", lambdaAPI, functionGraphAPI)
	}
	if err := setUserData(); err != nil {
		return nil, fmt.Errorf("RUNTIME_USERDATA: %w", err)
	}
	timeout, err := seconds(os.Getenv("RUNTIME_TIMEOUT"))
	if err != nil {
		return nil, fmt.Errorf("RUNTIME_TIMEOUT: %w", err)
	}
	return &runtime.FunctionGraph{
		API:     os.Getenv(functionGraphAPI),
		URN:     functionURN(),
		Timeout: timeout,
		Out:     os.Stdout,
		Level:   logLevel(os.Getenv("AWS_LAMBDA_LOG_LEVEL")),
	}, nil
}

// setUserData sets the variables that the user gave the function, where the
// environment lacks them: FunctionGraph may hand them over in one variable alone,
// as a JSON object (FunctionGraph user guide, "Custom Runtime"; the kernel that
// Huawei has published does). The error holds no value.
func setUserData() error {
	text := os.Getenv("RUNTIME_USERDATA")
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var variables map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &variables); err != nil {
		return errors.New("expected a JSON object")
	}
	for name, raw := range variables {
		if name == lambdaAPI || os.Getenv(name) != "" {
			continue // where this process is, is no setting
		}
		value := string(raw) // of a number or a truth
		if strings.HasPrefix(value, `"`) {
			_ = json.Unmarshal(raw, &value) // a string of a valid object is valid
		}
		if err := os.Setenv(name, value); err != nil {
			return errors.New("a name or a value in it can be none of a variable")
		}
	}
	return nil
}

// seconds reads a number of seconds, zero where there is none.
func seconds(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errors.New("expected a number of seconds")
	}
	return time.Duration(n) * time.Second, nil
}

// functionURN names the function as FunctionGraph does (FunctionGraph API
// reference, "Querying Functions"). No variable has it.
func functionURN() string {
	return strings.Join([]string{
		"urn:fss", os.Getenv("HW_REGION_NAME"), os.Getenv("RUNTIME_PROJECT_ID"), "function",
		cmp.Or(os.Getenv("RUNTIME_PACKAGE"), "default"), cmp.Or(os.Getenv("RUNTIME_FUNC_NAME"), "cbr-replicator"), cmp.Or(os.Getenv("RUNTIME_FUNC_VERSION"), "latest"),
	}, ":")
}

// logLevel reads a level as Lambda's runtimes do.
func logLevel(name string) slog.Level {
	switch name {
	case "DEBUG":
		return slog.LevelDebug
	case "WARN":
		return slog.LevelWarn
	case "ERROR":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// ofFunctionGraph fills in what FunctionGraph says of the function.
func (s *settings) ofFunctionGraph(p *problems) {
	s.ProjectID = strings.ToLower(cmp.Or(s.ProjectID, s.RuntimeProjectID))
	s.FunctionName = cmp.Or(s.FunctionName, s.RuntimeFunction)
	if s.Region == "" {
		p.add("HW_REGION_NAME", "required in FunctionGraph, which does not say in which region it is")
	}
}
