package demo

import (
	"context"
	"maps"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// agency is what each event brings, and no other credential is there.
var agency = sandbox.Agency{AccessKey: "AKEXAMPLEOFTHEAGENCY", SecretKey: "SKEXAMPLEOFTHEAGENCY0000000000000000000", SecurityToken: "STEXAMPLEOFTHEAGENCY"}

// playOnFunctionGraph sends one sample through the same binary on FunctionGraph and
// returns how many records its destination for failures has.
func (s *show) playOnFunctionGraph(ctx context.Context, scene scene, service *cbrtest.CBR, payload []byte) (records int, err error) {
	service.AddKey(cbrtest.Key{Access: agency.AccessKey, Secret: agency.SecretKey, SecurityToken: agency.SecurityToken})
	env := maps.Clone(s.env)
	maps.Copy(env, map[string]string{
		"HW_AUTH_TOKEN": "", "HW_PROJECT_ID": "",
		"AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	})
	function := sandbox.NewFunctionGraph(sandbox.FunctionGraphConfig{Path: s.binary, Env: env, Logs: s.screen, Timeout: timeout, Retries: 3})
	defer function.Close()
	function.SetAgency(agency)
	if !scene.async {
		response, err := function.Invoke(ctx, payload)
		if err != nil {
			return 0, err
		}
		return 0, s.await(ctx, response)
	}
	result, err := function.InvokeAsync(ctx, payload)
	if err != nil {
		return 0, err
	}
	for _, try := range result.Tries {
		if err := s.await(ctx, try); err != nil {
			return 0, err
		}
	}
	if result.Record != nil {
		records = 1
	}
	return records, nil
}
