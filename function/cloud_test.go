package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"cbr-replicator/internal/runtime"
)

// TestCloudOf: which runtime the environment chooses. Not parallel: the
// environment is one.
func TestCloudOf(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
		err  string
	}{
		"Lambda":           {map[string]string{lambdaAPI: "127.0.0.1:9001"}, "Lambda", ""},
		"both":             {map[string]string{lambdaAPI: "127.0.0.1:9001", functionGraphAPI: "127.0.0.1:9002"}, "Lambda", ""},
		"FunctionGraph":    {map[string]string{functionGraphAPI: "127.0.0.1:9002"}, "FunctionGraph", ""},
		"neither":          {nil, "", "neither AWS_LAMBDA_RUNTIME_API nor RUNTIME_API_ADDR is set"},
		"a time-out":       {map[string]string{functionGraphAPI: "a", "RUNTIME_TIMEOUT": "soon"}, "", "RUNTIME_TIMEOUT: expected a number of seconds"},
		"data is none":     {map[string]string{functionGraphAPI: "a", "RUNTIME_USERDATA": "secret"}, "", "RUNTIME_USERDATA: expected a JSON object"},
		"data is a list":   {map[string]string{functionGraphAPI: "a", "RUNTIME_USERDATA": `["secret"]`}, "", "RUNTIME_USERDATA: expected a JSON object"},
		"data is no name":  {map[string]string{functionGraphAPI: "a", "RUNTIME_USERDATA": `{"a=b":"secret"}`}, "", "RUNTIME_USERDATA: a name or a value"},
		"data is Lambda's": {map[string]string{functionGraphAPI: "a", "RUNTIME_USERDATA": `{"AWS_LAMBDA_RUNTIME_API":"b"}`}, "FunctionGraph", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{lambdaAPI, functionGraphAPI, "RUNTIME_TIMEOUT", "RUNTIME_USERDATA"} {
				t.Setenv(v, tt.env[v])
			}
			cloud, err := cloudOf()
			got := ""
			switch cloud.(type) {
			case runtime.Lambda:
				got = "Lambda"
			case *runtime.FunctionGraph:
				got = "FunctionGraph"
			}
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && (!strings.HasPrefix(err.Error(), tt.err) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%s, %v; want %s, %s", got, err, tt.want, tt.err)
			}
		})
	}
}

// TestUserData: what the environment has stands, and what it lacks, or has empty,
// comes from the data.
func TestUserData(t *testing.T) {
	t.Setenv("HW_REGION_NAME", "region1")
	t.Setenv("HW_CLOUD", "")
	t.Setenv("BATCH_CONCURRENCY", "") // restored after
	t.Setenv("ALLOW_ACCELERATION", "")
	t.Setenv("RUNTIME_PROJECT_ID", "p")
	t.Setenv(lambdaAPI, "")
	t.Setenv(functionGraphAPI, "127.0.0.1:9002")
	t.Setenv("RUNTIME_USERDATA", `{"HW_REGION_NAME":"region2","HW_CLOUD":"example \"cloud\"","BATCH_CONCURRENCY":3,"ALLOW_ACCELERATION":false}`)
	cloud, err := cloudOf()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"HW_REGION_NAME": "region1", "HW_CLOUD": `example "cloud"`, "BATCH_CONCURRENCY": "3", "ALLOW_ACCELERATION": "false"} {
		if got := os.Getenv(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got, want := cloud.(*runtime.FunctionGraph).URN, "urn:fss:region1:p:function:default:cbr-replicator:latest"; got != want {
		t.Errorf("URN %s, want %s", got, want)
	}
}

// TestNoCloud: a program that nobody runs as a function says so and ends.
func TestNoCloud(t *testing.T) {
	t.Parallel()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), path)
	command.Env = []string{"PATH=/usr/bin"}
	out, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(out), lambdaAPI) || !strings.Contains(string(out), functionGraphAPI) {
		t.Errorf("%v, output %s", err, out)
	}
}
