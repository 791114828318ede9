package sandbox

import "strings"

// UserEnv returns those of the user's variables that the function is given where it runs against the user's own account:
// its own, AWS's credentials and endpoints, and Go's for proxies and root certificates. environ is as os.Environ has it.
func UserEnv(environ []string) map[string]string {
	env := map[string]string{}
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); passedOn(name) {
			env[name] = value
		}
	}
	return env
}

// passedOn reports whether the function gets a variable of the user. REQUEST_QUEUE_ARN is none of them: no plan may reach the
// user's queue by accident.
func passedOn(name string) bool {
	for _, prefix := range []string{
		"HW_", "ALLOWED_", "ALLOW_", "RETRY_", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
		"AWS_ENDPOINT_URL", "RESULT_TOPIC_", "CBR_TIMEOUT", "HTTP_TIMEOUT", "DEADLINE_RESERVE", "BATCH_CONCURRENCY",
		"MAX_RECEIVE_COUNT", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_",
	} {
		if strings.HasPrefix(strings.ToUpper(name), prefix) {
			return true
		}
	}
	return false
}
