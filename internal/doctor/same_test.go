package doctor_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// TestDoctorAsksAsTheFunctionDoes: what the doctor reads of the environment is what the
// function reads. Both list the backups of the configured vault, with the same words.
func TestDoctorAsksAsTheFunctionDoes(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]map[string]string{
		"as it is":                       {},
		"a sister cloud":                 {"HW_CLOUD": "otc.t-systems.com", "HW_AUTH_URL": ""},
		"an enterprise project":          {"HW_ENTERPRISE_PROJECT_ID": "0"},
		"ids in upper case":              {"HW_CBR_VAULT_ID": strings.ToUpper(cbrtest.SourceVault), "HW_PROJECT_ID": " " + strings.ToUpper(cbrtest.SourceProject) + " "},
		"spaces in lists":                {"ALLOWED_DESTINATIONS": " region9/*, , " + cbrtest.DestinationRegion + "/" + strings.ToUpper(cbrtest.DestinationProject) + ",", "ALLOWED_PROJECT_IDS": " ,"},
		"no list, but a default":         {"ALLOWED_DESTINATIONS": ""},
		"a token with spaces":            {"HW_AUTH_TOKEN": " " + cbrtest.Token + "\n"},
		"a slash at the endpoint's end":  {"HW_CBR_ENDPOINT": "URL/"},
		"an endpoint with a region mark": {"HW_CBR_ENDPOINT": "URL/{region}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var asked []string
			a := newAccount(t, cbrtest.WithObserver(func(c cbrtest.Call) {
				if c.Operation == cbrtest.ListBackups {
					mu.Lock()
					defer mu.Unlock()
					asked = append(asked, c.Path+" "+c.Header.Get("X-Auth-Token"))
				}
			}))
			env := a.env(withToken, map[string]string{"HW_CBR_ENDPOINT": a.URL}, change)
			if endpoint := env["HW_CBR_ENDPOINT"]; strings.Contains(endpoint, "{region}") {
				env["HW_CBR_ENDPOINT"] = strings.ReplaceAll(endpoint, "URL", a.front.URL)
			} else {
				env["HW_CBR_ENDPOINT"] = strings.ReplaceAll(endpoint, "URL", a.URL)
			}

			stack, err := sandbox.NewStack(sandbox.StackConfig{})
			if err != nil {
				t.Fatal(err)
			}
			defer stack.Close()
			function := sandbox.NewFunction(sandbox.FunctionConfig{Path: built.function, Env: stack.Env(env)})
			defer function.Close()
			response, err := function.Invoke(t.Context(), []byte(`{"check":{}}`), time.Minute)
			if err != nil || response.Error != nil {
				t.Fatalf("the function: %v %v", err, response.Error)
			}
			if out, status := run(t, built.doctor, env, ""); status != 0 {
				t.Fatalf("exit status %d:\n%s", status, out)
			}
			if len(asked) != 2 {
				t.Fatalf("asked %q, want twice", asked)
			}
			if diff := cmp.Diff(asked[0], asked[1]); diff != "" {
				t.Errorf("-function +doctor:\n%s", diff)
			}
		})
	}
}
