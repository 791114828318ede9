package metrics

import (
	"fmt"
	"time"
)

// JSON appends one line of JSON to b, for a log that reads metrics from the fields of its
// lines, as Huawei Cloud's Log Tank Service does. It has the names and figures of [EMF].
func JSON(b []byte, l Line) []byte {
	b = fmt.Appendf(b, `{"timestamp":%s,"level":"INFO","message":"metrics","namespace":"%s",`, quoted(l.Began.UTC().Format(time.RFC3339Nano)), Namespace)
	return l.append(b)
}
