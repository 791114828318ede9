package events

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// httpRequest is a request over HTTP, of any HTTP trigger.
type httpRequest struct {
	method   string
	path     string // "/" if it is only the stage
	header   httpHeader
	body     string
	isBase64 bool
	limit    int // of the reply, in bytes
	// requestID is the invocation's. The log has it in each line.
	requestID string
	delivery  delivery.Delivery
	deadline  time.Time
}

// httpHeader is an event's headers. One or both of its fields are given.
type httpHeader struct {
	Single headers `json:"headers"`
	Multi  headers `json:"multiValueHeaders"`
}

func (h httpHeader) correlation() string { return cmp.Or(h.Single.correlation, h.Multi.correlation) }

func (h httpHeader) requestedAt() string { return cmp.Or(h.Single.requestedAt, h.Multi.requestedAt) }

func (h httpHeader) trace() string { return cmp.Or(h.Single.trace, h.Multi.trace) }

// headers are the headers that are used. Others are not kept, since there may be
// any number of them.
type headers struct {
	given                           bool
	correlation, requestedAt, trace string
}

// UnmarshalJSON reads an object of strings or of lists of strings. As in HTTP,
// the case of a name does not matter.
func (h *headers) UnmarshalJSON(text []byte) error {
	r := jsonscan.New(text)
	h.given = r.Peek() == jsontext.KindBeginObject
	for name := range r.Members {
		switch {
		case strings.EqualFold(string(name), "X-Correlation-Id"):
			readHeader(r, &h.correlation)
		case strings.EqualFold(string(name), requestedAtHeader):
			readHeader(r, &h.requestedAt)
		case strings.EqualFold(string(name), "X-Amzn-Trace-Id"):
			readHeader(r, &h.trace)
		}
	}
	return r.End()
}

// requestedAtHeader has the request's requested_at. It is for typed clients of CBR,
// which cannot add a member to the body.
const requestedAtHeader = "X-Requested-At"

// readHeader reads a header's value. Of several values it reads the first.
func readHeader(r *jsonscan.Reader, to *string) {
	if r.Peek() != jsontext.KindBeginArray {
		r.Text(to)
		return
	}
	for i := range r.Elements {
		if i == 0 {
			r.Text(to)
		}
	}
}

// httpResponse is the answer, before it is encoded in the trigger's format.
type httpResponse struct {
	status    int
	requestID string // X-Request-Id
	header    map[string]string
	body      any // encoded as JSON
}

func (r httpResponse) allHeaders() map[string]string {
	all := map[string]string{"Content-Type": "application/json", "X-Request-Id": r.requestID}
	maps.Copy(all, r.header)
	return all
}

// httpFault is the body of an error, as CBR writes it (CBR API reference, "Status
// Codes").
type httpFault struct {
	Code    string `json:"error_code"`
	Message string `json:"error_msg"`
}

// httpReplication is the body of an answer, as CBR writes it (CBR API reference,
// CopyCheckpoint).
type httpReplication struct {
	Replication json.RawMessage `json:"replication"`
}

// httpData is the answer to what CBR has no call for: a plan and a check.
type httpData struct {
	Data json.RawMessage `json:"data"`
}

// maxHead is how long an answer is without its data.
const maxHead = 4 << 10

// httpBatch routes a request. The HTTP API is CBR's own, but for the
// authentication: the same path, body, status and error. The path is matched as a
// suffix, since a stage or a base path may be before it. write encodes an answer in
// the trigger's format. An answer is never a Lambda error, since the caller would see
// only a 502.
func (d *Decoder) httpBatch(req httpRequest, write func(httpResponse) ([]byte, error)) (*Batch, error) {
	inFormat := write
	write = func(r httpResponse) ([]byte, error) {
		r.requestID = cmp.Or(r.requestID, req.requestID)
		return inFormat(r)
	}
	project, backup, isReplicate := replicatePlace(req.path)
	isRoot := strings.Trim(req.path, "/") == ""
	switch {
	case isReplicate && req.method == http.MethodPost, isRoot && req.method == http.MethodPost:
		del := d.httpDelivery(req, project, backup)
		return &Batch{
			Deliveries: []delivery.Delivery{del},
			Deadline:   req.deadline,
			reply: func(outcomes []delivery.Outcome) ([]byte, error) {
				if del.Own {
					return write(httpResponse{status: http.StatusOK, body: map[string]string{"status": "ignored"}})
				}
				r := answer(outcomes[0])
				if _, ok := r.body.(httpData); ok {
					// As a text within JSON it may be twice as long.
					data, err := outcomes[0].Data.Within(min(maxAnswer, req.limit/2-maxHead))
					if err != nil {
						return nil, err
					}
					r.body = httpData{data}
					return write(r)
				}
				return cbr.Fit(outcomes[0].Answer.Replication, req.limit, func(replication json.RawMessage) ([]byte, error) {
					if _, ok := r.body.(httpReplication); ok {
						r.body = httpReplication{replication}
					}
					return write(r)
				})
			},
		}, nil
	case isRoot && (req.method == http.MethodGet || req.method == http.MethodHead):
		return immediate(write, httpResponse{status: http.StatusOK, body: map[string]string{"status": "ok"}}), nil
	case isReplicate:
		return immediate(write, notAllowed("POST")), nil
	case isRoot:
		return immediate(write, notAllowed("GET, HEAD, POST")), nil
	}
	return immediate(write, httpResponse{
		status: http.StatusNotFound,
		body:   httpFault{"NotFound", "no such path; expected POST /v3/{project_id}/checkpoints/replicate, POST /v3/{project_id}/backups/{backup_id}/replicate or POST /"},
	}), nil
}

func notAllowed(allow string) httpResponse {
	return httpResponse{
		status: http.StatusMethodNotAllowed,
		header: map[string]string{"Allow": allow},
		body:   httpFault{"MethodNotAllowed", "expected " + allow},
	}
}

// immediate is the batch of a request that CBR is not called for and that has no
// result.
func immediate(write func(httpResponse) ([]byte, error), r httpResponse) *Batch {
	return &Batch{reply: func([]delivery.Outcome) ([]byte, error) { return write(r) }}
}

// withoutStage returns the root for a path that is only the stage's name. In
// other paths the stage may stay, since CBR's path is matched as a suffix. It is
// not cut off, since a path without a stage may begin with the same name.
func withoutStage(path, stage string) string {
	if strings.Trim(path, "/") == stage {
		return "/"
	}
	return path
}

// longestInvocation is Lambda's limit. If a request arrived longer ago, it is a
// sample that was sent later, or a clock is wrong.
const longestInvocation = 15 * time.Minute

// httpDeadline returns until when API Gateway must have the answer. epoch is when
// the request arrived there, in milliseconds since the Unix epoch.
func (d *Decoder) httpDeadline(epoch int64, inv delivery.Invocation) time.Time {
	arrived := time.UnixMilli(epoch)
	if age := inv.Began.Sub(arrived); age < 0 || age > longestInvocation {
		arrived = inv.Began
	}
	return arrived.Add(d.HTTPTimeout)
}

// writeAPIGateway encodes an answer for API Gateway, in both of its payload
// formats, for a function URL, and for APIG.
func writeAPIGateway(r httpResponse) ([]byte, error) {
	body, err := marshal(r.body)
	if err != nil {
		return nil, err
	}
	return marshal(struct {
		StatusCode int               `json:"statusCode"`
		Headers    map[string]string `json:"headers"`
		Body       string            `json:"body"`
		IsBase64   bool              `json:"isBase64Encoded"`
	}{r.status, r.allHeaders(), string(body), false})
}

// replicatePlace returns the project in the path of CopyCheckpoint, or the project and
// the backup in that of CopyBackup.
func replicatePlace(path string) (project, backup string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
	n := len(parts)
	switch {
	case n >= 5 && parts[n-5] == "v3" && parts[n-4] != "" && parts[n-3] == "backups" && parts[n-2] != "" && parts[n-1] == "replicate":
		return parts[n-4], parts[n-2], true
	case n >= 4 && parts[n-4] == "v3" && parts[n-3] != "" && parts[n-2] == "checkpoints" && parts[n-1] == "replicate":
		return parts[n-3], "", true
	}
	return "", "", false
}

// httpDelivery reads the body. project and backup are those in the path, empty without
// one.
func (d *Decoder) httpDelivery(req httpRequest, project, backup string) delivery.Delivery {
	here := *d
	here.Defaults.ProjectID = cmp.Or(project, d.Defaults.ProjectID)
	here.Defaults.backupID = backup
	deliver := here.deliver
	if req.isBase64 {
		deliver = here.deliverBase64
	}
	del := req.delivery
	del.Final, del.Last = true, true
	del = deliver([]byte(req.body), del, req.header.correlation())
	if del.Err != nil {
		return del
	}
	var problems []string
	if project != "" && !strings.EqualFold(del.Request.ProjectID, project) {
		problems = append(problems, "project_id: expected the one in the path")
	}
	if backup != "" && !strings.EqualFold(del.Request.Replicate.BackupID, backup) {
		problems = append(problems, "replicate.backup_id: expected the one in the path")
	}
	if header := req.header.requestedAt(); header != "" {
		at, ok := parseTime(header)
		switch body := del.Request.RequestedAt; {
		case !ok:
			problems = append(problems, requestedAtHeader+": expected "+timeWanted)
		case d.tooOld(at):
			problems = append(problems, requestedAtHeader+": expected "+recently)
		case del.Request.OfReplicas(): // it means nothing to a check
		case body.IsZero():
			del.Request.RequestedAt = at
		case !body.Equal(at):
			problems = append(problems, "requested_at: expected the same time as in "+requestedAtHeader)
		}
	}
	if problems != nil {
		del.Request = delivery.Request{CorrelationID: del.Request.CorrelationID}
		del.Err = &kind.Error{Kind: kind.InvalidEvent, Message: strings.Join(problems, "; ")}
	}
	return del
}

// answer turns an outcome into the answer that CBR would give.
func answer(o delivery.Outcome) httpResponse {
	r := httpResponse{
		status:    o.Answer.Status,
		requestID: o.Answer.RequestID,
		header:    map[string]string{"X-Result-Published": strconv.FormatBool(o.PublishErr == nil)},
		body:      httpReplication{o.Answer.Replication},
	}
	if d := &o.Data; (d.Plan != nil || d.Replica != nil) && o.Err.Of().Policy().Answer {
		r.status, r.body = http.StatusOK, httpData{}
		return r
	}
	if o.Err == nil {
		r.status = http.StatusOK
		return r
	}
	policy := o.Err.Kind.Policy()
	if policy.HTTPStatus != kind.OwnAnswer {
		r.status = policy.HTTPStatus
	}
	if o.Answer.Replication == nil || r.status > 299 {
		code := o.Err.Code
		if code == "" {
			code = string(o.Err.Kind)
		}
		r.body = httpFault{code, o.Err.Message}
	}
	if policy.RetryAfter > 0 {
		wait := cmp.Or(o.Err.RetryAfter, policy.RetryAfter)
		r.header["Retry-After"] = strconv.Itoa(int(math.Ceil(wait.Seconds())))
	}
	return r
}
