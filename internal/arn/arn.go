// Package arn reads the names of AWS's resources (IAM user guide, "Identify AWS
// resources with Amazon Resource Names (ARNs)"). It imports nothing of the
// project.
package arn

import (
	"errors"
	"regexp"
)

// ARN names a resource of an account in a region.
type ARN struct{ Partition, Region, Account, Resource string }

// Regions and accounts must have their forms, since they become part of hosts and URLs.
var (
	form     = regexp.MustCompile(`^arn:(aws[a-z-]*):([a-z]+):([a-z]+(?:-[a-z0-9]+)+):([0-9]{12}):(.+)$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(?:\.fifo)?$`)
)

// Parse reads the ARN of a service's resource. Its error says what was expected and does
// not show s.
func Parse(s, service string) (ARN, error) {
	m := form.FindStringSubmatch(s)
	if m == nil || m[2] != service {
		return ARN{}, errors.New("expected arn:aws:" + service + ":REGION:ACCOUNT:NAME")
	}
	return ARN{Partition: m[1], Region: m[3], Account: m[4], Resource: m[5]}, nil
}

// ParseName is Parse for a resource with a name in the form of SQS and SNS: letters,
// digits, hyphens and underscores, perhaps with .fifo at the end, and at most longest
// bytes.
func ParseName(s, service string, longest int) (ARN, error) {
	a, err := Parse(s, service)
	// A count in nameForm would cost time at each start.
	if err == nil && (len(a.Resource) > longest || !nameForm.MatchString(a.Resource)) {
		_, err = Parse("", service)
		return ARN{}, err
	}
	return a, err
}
