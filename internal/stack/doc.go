// Package stack holds template.yaml to what the rest of the project relies on.
// It has tests alone: they put parameters into the template, as CloudFormation
// would, and look at the resources that come of it. A queue whose visibility
// timeout is too short, a permission too many or an alarm on a metric that
// nobody writes fails here and not at three in the morning.
//
// The resources are the template's own, before AWS SAM's transform, which adds
// to the function alone: its versions and an alias that nothing uses. What SAM
// and CloudFormation make of the template is for `sam validate --lint` and
// cfn-lint to say.
//
// The picture docs/dashboard.svg is drawn here too, from the dashboard's JSON in
// the template and made-up data: go test ./internal/stack -update.
package stack
