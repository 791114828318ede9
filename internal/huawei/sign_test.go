package huawei_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"cbr-replicator/internal/huawei"
)

// TestSignVector: the signature is that of Huawei's official SDK for Go
// (v0.1.207) for the same request.
func TestSignVector(t *testing.T) {
	t.Parallel()
	const body = `{"replicate":{"auto_trigger":false,"destination_project_id":"68589cac08274b82b4e254268a3862d8","destination_region":"region2",` +
		`"destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274","enable_acceleration":false,"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}}` + "\n"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://cbr.cn-north-4.myhuaweicloud.com/v3/f841e01fd2b14e7fa41b6ae7aa6b0594/checkpoints/replicate", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Project-Id", "f841e01fd2b14e7fa41b6ae7aa6b0594")
	req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	err = huawei.Sign(req, "AKEXAMPLE0000000000", "SKEXAMPLE000000000000000000000000000000", time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	const want = "SDK-HMAC-SHA256 Access=AKEXAMPLE0000000000, SignedHeaders=host;x-project-id;x-sdk-date, " +
		"Signature=4bf443881c05a12cd66df35fcb9a8cc3c9fb96ce280fb605f674259a4b451016"
	if got := req.Header.Get("Authorization"); got != want {
		t.Errorf("Authorization: %s\nwant %s", got, want)
	}
}
