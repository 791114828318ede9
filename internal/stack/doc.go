// Package stack holds template.yaml to what the rest of the project relies on. It
// has only tests. They put parameters into the template, as CloudFormation would,
// and check the resources. They find a visibility timeout that is too short, a
// permission that is not needed, and an alarm on a metric that nobody writes.
//
// The resources are those before AWS SAM's transform. It changes only the function:
// it adds versions, and an alias that is not used. `sam validate --lint` and
// cfn-lint check what SAM and CloudFormation make of the template.
//
// The picture docs/dashboard.svg is drawn here, too, from the dashboard's JSON in
// the template and from made-up data: go test ./internal/stack -update.
package stack
