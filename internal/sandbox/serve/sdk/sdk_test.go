// Package sdk holds the function's HTTP face against Huawei's official SDK: a
// client of CBR that is pointed at the function must not see a difference.
package sdk

import (
	"bufio"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	cbr "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/cbr/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/cbr/v1/model"
)

// The account of CopyCheckpoint's example in the CBR API reference, which the
// sandbox's CBR has.
const (
	project            = "f841e01fd2b14e7fa41b6ae7aa6b0594"
	vault              = "3b5816b5-f29c-4172-9d9a-76c719a659ce"
	destinationVault   = "0ca3eb86-8800-46da-9c37-9d657a825274"
	destinationProject = "68589cac08274b82b4e254268a3862d8"
)

// serve starts `make serve` on a free port and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "serve")
	build := exec.Command("go", "build", "-o", binary, "./cmd/serve")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	command := exec.CommandContext(t.Context(), binary, "-port", "0")
	command.Dir = root
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, address, ok := strings.Cut(lines.Text(), "http://"); ok {
			return "http://" + address
		}
	}
	t.Fatal("the sandbox named no address")
	return ""
}

func newClient(t *testing.T, url string) *cbr.CbrClient {
	t.Helper()
	credentials, err := basic.NewCredentialsBuilder().WithAk("ak").WithSk("sk").WithProjectId(project).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	client, err := cbr.CbrClientBuilder().WithEndpoints([]string{url}).WithCredential(credentials).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return cbr.NewCbrClient(client)
}

func replicate(vault string) *model.CopyCheckpointRequest {
	return &model.CopyCheckpointRequest{Body: &model.CheckpointReplicateReq{Replicate: &model.CheckpointReplicateParam{
		VaultId: vault, DestinationVaultId: destinationVault, DestinationProjectId: destinationProject, DestinationRegion: "region2",
	}}}
}

func TestOfficialSDK(t *testing.T) {
	url := serve(t)
	t.Setenv("HOME", t.TempDir()) // the SDK writes an id of its own there
	client := newClient(t, url)

	response, err := client.CopyCheckpoint(replicate(vault))
	if err != nil {
		t.Fatal(err)
	}
	r := response.Replication
	if r == nil || r.VaultId != vault || r.DestinationVaultId != destinationVault || r.ProjectId != project ||
		len(r.Backups) != 3 || r.Backups[0].ReplicationRecordId == "" {
		t.Errorf("typed response %+v", response)
	}

	for _, tt := range []struct {
		name, vault, code string
		status            int
	}{
		{"the vault is busy now", vault, "BackupService.6130", 409},
		{"no vault's id", "vault", "InvalidEvent", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client.CopyCheckpoint(replicate(tt.vault))
			var e *sdkerr.ServiceResponseError
			if !errors.As(err, &e) || e.ErrorCode != tt.code || e.StatusCode != tt.status || e.ErrorMessage == "" {
				t.Errorf("typed error %#v (%v), want %s with %d", e, err, tt.code, tt.status)
			}
		})
	}
}
