package fleet

import (
	"fmt"
	"strings"
)

// AWS's list prices. The free tier is left out, and so is what Huawei bills:
// traffic, and the storage of the copies.
const (
	pricesOf = "us-east-1, mid-2026"

	perMillionInvocations = 0.20
	perGBSecond           = 0.0000133334 // arm64
	memoryGB              = 0.25         // template.yaml's MemorySize
	perMillionSQS         = 0.40         // standard queue; a batch is a request
	perMillionSNS         = 0.50         // a batch of less than 64 KB is a request
	perGBLogs             = 0.50         // ingested
)

// The sizes of log lines, in bytes, about.
const (
	logDelivery   = 500
	logStep       = 400  // a retry, a lookup
	logInvocation = 1800 // metrics 1100, Lambda's own start and report
)

// price returns what the night cost in USD, and how that is made up.
func (n *night) price() (total float64, arithmetic string) {
	var b strings.Builder
	item := func(what string, quantity float64, unit string, price float64) {
		total += quantity * price
		fmt.Fprintf(&b, "  %-20s %14.3f %-13s × %.10g = %.2f\n", what, quantity, unit, price, quantity*price)
	}
	bytes := n.deliveries*logDelivery + (n.retries+n.lookups)*logStep + n.invocations*logInvocation
	item("Lambda, invocations", float64(n.invocations)/1e6, "million", perMillionInvocations)
	item("Lambda, duration", n.billed.Seconds()*memoryGB, "GB-seconds", perGBSecond)
	item("SQS, with the sender", float64(n.sqs+(n.vaults+9)/10)/1e6, "million", perMillionSQS)
	item("SNS", float64(n.sns)/1e6, "million", perMillionSNS)
	item("CloudWatch Logs", float64(bytes)/1e9, "GB", perGBLogs)
	fmt.Fprintf(&b, "  %-20s %.2f USD\n", "together", total)
	return total, b.String()
}

// price returns what following cost in USD. SNS sends accepted
// results to the queue, and bills no delivery to SQS.
func (f *told) price() float64 {
	bytes := f.looks*logDelivery + f.invocations*logInvocation
	return float64(f.invocations)/1e6*perMillionInvocations +
		f.billed.Seconds()*memoryGB*perGBSecond +
		float64(f.sqs+f.accepted)/1e6*perMillionSQS +
		float64(f.sns)/1e6*perMillionSNS +
		float64(bytes)/1e9*perGBLogs
}
