// Package huawei is Huawei Cloud's wire, the same for each of its services:
// where a region's endpoint is, what authorizes a request, one bounded call,
// and what an error's answer says. A service's client stands on it and adds its
// operations and the meaning of its codes.
package huawei

// Scope is what a request is for and what a credential must be good for: a
// project in a region. The call goes to the region's endpoint with the project
// in its path.
type Scope struct {
	ProjectID string
	Region    string
}

// The forms of what IsProjectID and IsRegion take, in words.
const (
	ProjectForm = "32 hex digits"
	RegionForm  = "a region, in lower-case letters, digits and hyphens, such as cn-north-4"
)

// IsProjectID reports whether s is 32 hex digits, as project ids are.
func IsProjectID(s string) bool {
	for i := range len(s) {
		if !IsHex(s[i]) {
			return false
		}
	}
	return len(s) == 32
}

// IsRegion reports whether s may be a region: it becomes part of a host name.
func IsRegion(s string) bool {
	for i := range len(s) {
		c := s[i]
		if lower, digit := 'a' <= c && c <= 'z', '0' <= c && c <= '9'; !lower && !digit && (c != '-' || i == 0) {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 63
}

// IsHex reports whether c is a hex digit of either case.
func IsHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
