package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
)

// address is where CBR is found. Connections are refused until it is opened;
// then the CBR behind it can be exchanged.
type address struct {
	hostPort string
	current  atomic.Pointer[cbrtest.CBR]

	mu     sync.Mutex
	server *http.Server
}

// newAddress picks a free port, on which nothing listens yet.
func newAddress() *address {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return &address{hostPort: "127.0.0.1:0"} // open will say what is wrong
	}
	defer listener.Close()
	return &address{hostPort: listener.Addr().String()}
}

func (a *address) url() string { return "http://" + a.hostPort }

// place puts a CBR behind the address without opening it.
func (a *address) place(service *cbrtest.CBR) { a.current.Store(service) }

// open lets connections in.
func (a *address) open(service *cbrtest.CBR) error {
	a.place(service)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		return nil
	}
	listener, err := net.Listen("tcp", a.hostPort)
	if err != nil {
		return fmt.Errorf("serving CBR: %w", err)
	}
	a.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.current.Load().ServeHTTP(w, r)
		}),
	}
	go func() { _ = a.server.Serve(listener) }()
	return nil
}

func (a *address) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		_ = a.server.Close()
	}
}

// furnish gives a CBR the vaults and projects that a payload names, wherever in
// it, so that any event can be tried. It returns the last source project named.
func furnish(service *cbrtest.CBR, payload []byte) (project string) {
	walk(payload, func(request map[string]any) {
		replicate, _ := request["replicate"].(map[string]any)
		text := func(in map[string]any, name, otherwise string) string {
			if s, ok := in[name].(string); ok {
				return s
			}
			return otherwise
		}
		if p := text(request, "project_id", ""); p != "" {
			project = p
		}
		source := text(request, "project_id", cbrtest.SourceProject)
		destination := text(replicate, "destination_project_id", cbrtest.DestinationProject)
		service.AddProject(source, text(request, "region", cbrtest.SourceRegion))
		service.AddProject(destination, text(replicate, "destination_region", cbrtest.DestinationRegion))
		service.AddVault(cbrtest.Vault{ID: text(replicate, "destination_vault_id", cbrtest.DestinationVault), ProjectID: destination, ProtectType: "replication"})
		if vault := text(replicate, "vault_id", cbrtest.SourceVault); vault != cbrtest.SourceVault {
			service.AddVault(cbrtest.Vault{ID: vault, ProjectID: source})
			for i := range 2 {
				service.AddBackup(cbrtest.Backup{ID: fmt.Sprintf("%s%04d", vault[:len(vault)-4], i), VaultID: vault})
			}
		}
	})
	return project
}

// regionOf returns the first region that a payload names as a source's.
func regionOf(payload []byte, otherwise string) string {
	region := otherwise
	walk(payload, func(request map[string]any) {
		if s, ok := request["region"].(string); ok && s != "" {
			region = s
		}
	})
	return region
}

// walk calls see with every object in payload that has a field "replicate",
// also in strings that hold JSON, in base64 or not.
func walk(payload []byte, see func(request map[string]any)) {
	var value any
	if json.Unmarshal(payload, &value) != nil {
		return
	}
	var visit func(any)
	visit = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			if _, ok := v["replicate"]; ok {
				see(v)
			}
			for _, inner := range v {
				visit(inner)
			}
		case []any:
			for _, inner := range v {
				visit(inner)
			}
		case string:
			walk([]byte(v), see)
			if text, err := base64.StdEncoding.DecodeString(v); err == nil && len(text) > 0 {
				walk(text, see)
			}
		}
	}
	visit(value)
}
