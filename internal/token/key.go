package token

import (
	"fmt"
	"net/http"
	"time"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/redact"
)

// maxSkew is how far the time of signing may be from the gateway's own (API
// Gateway user guide, "Authentication").
const maxSkew = 15 * time.Minute

// Key is an access key. It signs each request. Since 2025 Huawei recommends this over
// tokens (IAM API reference, "Authentication").
type Key struct {
	redact.Opaque
	config  Config
	breaker breaker
	// advice is for a signature that is refused.
	advice string
}

func newKey(c Config) *Key {
	return &Key{
		config: c, breaker: breaker{now: c.Now, oneByOne: true},
		advice: "the signature with the access key of " + c.origin("HW_ACCESS_KEY") + " was refused: check that key and secret belong together and are active",
	}
}

// Authorize signs req.
func (k *Key) Authorize(req *http.Request, src huawei.Scope) (huawei.Report, error) {
	done, err := k.breaker.allow(req.Context())
	if err != nil {
		return nil, err
	}
	now := k.config.Now()
	req.Header.Set("X-Project-Id", src.ProjectID)
	if k.config.SecurityToken != "" {
		req.Header.Set("X-Security-Token", k.config.SecurityToken)
	}
	if err := huawei.Sign(req, k.config.AccessKey, k.config.SecretKey, now); err != nil {
		done(huawei.AuthResult{}, "")
		return nil, err
	}
	return func(r huawei.AuthResult) huawei.Advice {
		advice := k.advice
		if skew := now.Sub(r.Date); !r.Date.IsZero() && skew.Abs() > maxSkew {
			advice = fmt.Sprintf("the signature was refused for its time: the function's clock and the cloud's are %s apart, and %s are allowed", skew.Abs().Round(time.Second), maxSkew)
		}
		return huawei.Advice{Text: done(r, advice)}
	}, nil
}
